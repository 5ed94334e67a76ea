// The store under ill-treatment: a few rounds of what `npm run soak` does many of, and pulls that meet each other.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fullDiskRounds, killRounds, StoreTrial, seededRandom } from './store-trials.ts'
import { TrialRegistry } from './trial-registry.ts'

const ROUNDS = 20
const FULL_DISK_ROUNDS = 6
const SEED = 4

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-trials-'))
})

afterEach(() => rm(folder, { recursive: true }))

const coded = (code: string) => expect.objectContaining({ code })

test(`killed at ${ROUNDS} random moments, the store stays sound and the next try finishes`, () =>
  killRounds(folder, ROUNDS, SEED))

test(`with ${FULL_DISK_ROUNDS} disks that become full, a pull says so and finishes when there is space`, () =>
  fullDiskRounds(folder, FULL_DISK_ROUNDS, SEED))

test('a pull that is cancelled at random moments leaves only what the next goes on with', async () => {
  await using registry = await TrialRegistry.start(folder)
  await using trial = await StoreTrial.start(path.join(folder, 'root'), registry)
  const random = seededRandom(SEED)
  const wholeMs = await trial.measure()
  for (let round = 0; round < 8; round++) {
    await trial.empty()
    const signal = AbortSignal.timeout(Math.floor(random() * wholeMs * 0.9))
    const [result] = await Promise.allSettled([trial.pullAndBuild({ signal })])
    if (result.status === 'rejected') expect(result.reason).toEqual(coded('oci.cancelled'))
    await trial.expectSoundFiles()
    await trial.expectNoLeftovers()
    await trial.expectThatItWorksNow()
  }
})

test('pulls of images that share layers, and prunes among them, do not disturb each other', async () => {
  await using registry = await TrialRegistry.start(folder)
  await using trial = await StoreTrial.start(path.join(folder, 'root'), registry)
  const prune = () => trial.worker.prune({ all: true, derived: true, dryRun: false, inUse: [] })
  for (let round = 0; round < 4; round++) {
    let isOver = false
    const pruning = (async () => {
      while (!isOver) await prune()
    })()
    const pulls = await Promise.allSettled([
      trial.worker.pull({ reference: registry.reference }),
      trial.worker.pull({ reference: registry.smallerReference }),
      trial.worker.pull({ reference: registry.reference }),
    ])
    isOver = true
    await pruning
    for (const pull of pulls) expect(pull).toMatchObject({ status: 'fulfilled' })
    await trial.expectSoundFiles()
    await trial.empty()
  }
  await Promise.all([trial.pullAndBuild(), trial.worker.pull({ reference: registry.smallerReference })])
  await trial.expectThatItWorksNow()
  expect(await trial.worker.list()).toHaveLength(2)
  expect(await readdir(path.join(trial.root, 'store/blobs/sha256'))).toHaveLength(2 * 2 + 4)
})
