// A store that is ill-treated: an image worker (a real process) pulls and builds a made image from a loopback registry and
// is killed, starved of disk space or cancelled in the middle. What is on disk afterwards must be sound, and the next try
// must finish. `store-crash.test.ts` does a few rounds, `tests/soak/images.test.ts` many.

import { createHash } from 'node:crypto'
import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { expect } from 'vitest'
import { type ImageWorkerClient, startImageWorker } from '../../core/oci/image-worker-client.ts'
import type { OnProgress } from '../../core/oci/progress.ts'
import { run } from './commands.ts'
import { LARGE_LAYER_BYTES, TrialRegistry } from './trial-registry.ts'

/** Numbers between 0 and 1 that are the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An image worker with a store of its own. */
export class StoreTrial implements AsyncDisposable {
  readonly root: string
  readonly worker: ImageWorkerClient
  readonly #registry: TrialRegistry

  private constructor(root: string, worker: ImageWorkerClient, registry: TrialRegistry) {
    this.root = root
    this.worker = worker
    this.#registry = registry
  }

  static async start(root: string, registry: TrialRegistry): Promise<StoreTrial> {
    return new StoreTrial(root, await startImageWorker({ root }), registry)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.worker[Symbol.asyncDispose]()
  }

  /** What a pull of the user does. */
  async pullAndBuild(
    options: { readonly signal?: AbortSignal; readonly onProgress?: OnProgress } = {},
  ): Promise<string> {
    const { reference } = await this.worker.pull({ reference: this.#registry.reference }, options)
    return (await this.worker.rootImage(reference, options)).path
  }

  /** Begins to pull and build, kills the worker so long after, and waits until both are over. */
  async killAfter(delayMs: number): Promise<void> {
    const pid = (await this.worker.start()) ?? 0
    const work = Promise.allSettled([this.pullAndBuild()])
    let isKilled = false
    const timer = setTimeout(() => {
      isKilled = true
      process.kill(pid, 'SIGKILL')
    }, delayMs)
    await work
    clearTimeout(timer)
    // The work may have ended just before: then the death is still to be noticed.
    if (isKilled) await Promise.allSettled([this.worker.list()])
  }

  /** How long pulling and building takes when nobody disturbs it. */
  async measure(): Promise<number> {
    const startedMs = performance.now()
    await this.pullAndBuild()
    return performance.now() - startedMs
  }

  /** What may be relied on at any time, also while no worker runs: looked at without any code of the store. */
  async expectSoundFiles(): Promise<void> {
    const at = (name: string) => path.join(this.root, name)
    const blobs = new Set(await namesIn(at('store/blobs/sha256')))
    for (const name of blobs) {
      const bytes = await readFile(at(`store/blobs/sha256/${name}`))
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(name)
    }
    const index: { manifests: { digest: string }[] } = JSON.parse(
      await readFile(at('store/index.json'), 'utf8'),
    )
    for (const { digest } of index.manifests) {
      const manifest = JSON.parse(await readFile(at(`store/blobs/sha256/${digest.slice(7)}`), 'utf8'))
      for (const { digest: part } of [manifest.config, ...manifest.layers])
        expect(blobs).toContain(part.slice(7))
    }
    const images = await namesIn(at('images'))
    for (const name of images.filter((each) => each.endsWith('.squashfs')))
      expect(images).toContain(name.replace('.squashfs', '.json'))
  }

  /** Nothing but downloads to go on with may be left once a worker has been there again. */
  async expectNoLeftovers(): Promise<void> {
    await this.worker.list()
    const everything = await readdir(this.root, { recursive: true })
    expect(everything.filter((name) => name.includes('.tmp-'))).toEqual([])
    for (const name of await namesIn(path.join(this.root, 'store/ingest')))
      expect(name).toMatch(/^sha256-[0-9a-f]{64}(\.\d+)?\.part$/)
    expect((await this.worker.check({ repair: false, inUse: [] })).problems).toEqual([])
  }

  async expectThatItWorksNow(): Promise<void> {
    const listing = await run('unsquashfs', '-lc', await this.pullAndBuild())
    for (let position = 0; position < this.#registry.layerCount; position++)
      expect(listing).toContain(`squashfs-root/file-${position}`)
    await this.expectSoundFiles()
    expect(await namesIn(path.join(this.root, 'store/ingest'))).toEqual([])
  }

  /** As if nothing had ever been pulled. */
  async empty(): Promise<void> {
    await this.worker.prune({ all: true, derived: true, dryRun: false, inUse: [] })
    expect(await namesIn(path.join(this.root, 'store/blobs/sha256'))).toEqual([])
  }
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder)
}

/** Kills the worker once in each round, anywhere between the first request and the finished root image. */
export async function killRounds(folder: string, rounds: number, seed: number): Promise<void> {
  await using registry = await TrialRegistry.start(folder)
  await killWhilePulling(folder, registry, { rounds, seed })
  // Else nothing was hit in the middle of a download.
  if (rounds >= 10) expect(registry.resumed).toBeGreaterThan(0)
}

/** Like `killRounds`, with a layer so large that several connections bring it when the worker is killed. */
export async function killRoundsWithHelpers(folder: string, rounds: number, seed: number): Promise<void> {
  await using registry = await TrialRegistry.start(path.join(folder, 'large'), LARGE_LAYER_BYTES)
  const pieces = await killWhilePulling(folder, registry, { rounds, seed })
  expect(registry.helped).toBeGreaterThan(0)
  // Else no kill came while a piece lay behind what was missing.
  if (rounds >= 10) expect(pieces).toBeGreaterThan(0)
}

/** Returns how many pieces from further on in a blob the kills left. */
async function killWhilePulling(
  folder: string,
  registry: TrialRegistry,
  { rounds, seed }: { rounds: number; seed: number },
): Promise<number> {
  await using trial = await StoreTrial.start(await mkdtemp(path.join(folder, 'root-')), registry)
  const random = seededRandom(seed)
  const wholeMs = await trial.measure()
  let pieces = 0
  for (let round = 0; round < rounds; round++) {
    await trial.empty()
    await trial.killAfter(random() * wholeMs)
    await trial.expectSoundFiles()
    const left = await namesIn(path.join(trial.root, 'store/ingest'))
    pieces += left.filter((name) => /\.\d+\.part$/.test(name)).length
    await trial.expectNoLeftovers()
    await trial.expectThatItWorksNow()
  }
  return pieces
}

/** Lets the disk become full in each round, at another moment each time. Needs the right to mount. */
export async function fullDiskRounds(folder: string, rounds: number, seed: number): Promise<void> {
  await using registry = await TrialRegistry.start(folder)
  const random = seededRandom(seed)
  const failures: string[] = []
  for (let round = 0; round < rounds; round++) {
    const root = await mkdtemp(path.join(folder, 'full-'))
    await run('mount', '-t', 'tmpfs', '-o', 'size=64m,mode=0700', 'bulkhead-test', root)
    try {
      await using trial = await StoreTrial.start(root, registry)
      // Store, segments and root image take about three times what is downloaded: with less from the start, nothing is.
      const leftBytes = random() * 3 * registry.imageBytes
      const code = await pullIntoLittleSpace(trial, { leftBytes, isSmallFromStart: round % 3 === 0 })
      if (code !== undefined) failures.push(code)
      await trial.expectSoundFiles()
      await rm(path.join(root, 'ballast'))
      await trial.expectNoLeftovers()
      await trial.expectThatItWorksNow()
    } finally {
      await run('umount', root)
    }
  }
  expect(new Set(failures)).toEqual(new Set(['oci.no-space']))
}

/** Pulls and builds while only so much space is left, from the start or from the first bytes on. Returns how it failed. */
async function pullIntoLittleSpace(
  trial: StoreTrial,
  { leftBytes, isSmallFromStart }: { leftBytes: number; isSmallFromStart: boolean },
): Promise<string | undefined> {
  const ballast = path.join(trial.root, 'ballast')
  const fill = async () => appendFile(ballast, Buffer.alloc(Math.floor(64 * 2 ** 20 - leftBytes)))
  let filling = isSmallFromStart ? fill() : undefined
  await filling
  const onProgress: OnProgress = ({ phase }) => {
    if (phase === 'download') filling ??= fill().catch(ignoreFullDisk)
  }
  try {
    await trial.pullAndBuild({ onProgress })
    return undefined
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code !== 'oci.internal'
      ? String(error.code)
      : String(error)
  } finally {
    await (filling ?? fill().catch(ignoreFullDisk))
  }
}

/** The pull was faster: then the disk is fuller than it was to be. */
function ignoreFullDisk(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error
}
