// The store under ill-treatment for a long time. `npm run soak`; the number of rounds is SOAK_IMAGE_ROUNDS, 200 by default,
// and SOAK_SEED chooses other moments.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, test } from 'vitest'
import { fullDiskRounds, killRounds, killRoundsWithHelpers } from '../images/store-trials.ts'

const rounds = Number(process.env.SOAK_IMAGE_ROUNDS ?? 200)
const seed = Number(process.env.SOAK_SEED ?? 1)
/** They take long. */
const largeRounds = Math.ceil(rounds / 10)
const timeout = 4 * 3600_000

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-soak-images-'))
})

afterEach(() => rm(folder, { recursive: true }))

test(`killed ${rounds} times while it pulls and builds`, { timeout }, () => killRounds(folder, rounds, seed))

test(`killed ${largeRounds} times while several connections bring a large layer`, { timeout }, () =>
  killRoundsWithHelpers(folder, largeRounds, seed),
)

test(`${rounds} disks that become full`, { timeout }, () => fullDiskRounds(folder, rounds, seed))
