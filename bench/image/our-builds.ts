// Root images built by the real image worker out of gzip layers that lie in its store, seen from a process that stands
// for the core host: it does nothing but wait, so that its longest pause is what a build costs the core host.
import { createReadStream } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout } from 'node:timers/promises'
import type { ImageWorkerClient, startImageWorker } from '../../core/oci/image-worker-client.ts'
import { bundledWorker } from './bundled-worker.ts'
import { type Cost, runTool } from './image-tools.ts'
import type { TestImage } from './test-image.ts'

export interface OurBuild extends Cost {
  readonly path: string
  readonly sizeBytes: number
  /** Of the process that waits for the build. */
  readonly longestDelayMs: number
}

/** Clock ticks of /proc/PID/stat in a second: fixed for programs on x86 (USER_HZ). */
const ticksPerSecond = 100

/** The worker's store with both images in it. */
export class OurBuilds {
  readonly #root: string
  readonly #startImageWorker: typeof startImageWorker
  /** Segments of the layers of `image`. */
  #known: ReadonlySet<string> = new Set()

  private constructor(root: string, start: typeof startImageWorker) {
    this.#root = root
    this.#startImageWorker = start
  }

  /** Brings both images into a store below `folder`. */
  static async open(folder: string, { archives }: TestImage): Promise<OurBuilds> {
    const root = join(folder, 'root')
    await mkdir(root, { recursive: true })
    const builds = new OurBuilds(root, await bundledWorker(join(folder, 'worker')))
    await using worker = await builds.#start()
    for (const name of ['image', 'changed'] as const)
      await worker.importArchive(createReadStream(archives[name]), { name })
    return builds
  }

  /** Builds `image` from its layers: nothing but these is there. */
  async buildAll(): Promise<OurBuild> {
    await this.#forget(this.#segments, () => true)
    const built = await this.#build('image')
    this.#known = new Set(await readdir(this.#segments))
    return built
  }

  /** Builds `changed` when all layers but its top one have been used before. */
  async buildChanged(): Promise<OurBuild> {
    await this.#forget(this.#segments, (name) => !this.#known.has(name))
    return await this.#build('changed')
  }

  get #segments(): string {
    return join(this.#root, 'store/layers')
  }

  async #build(name: string): Promise<OurBuild> {
    await this.#forget(join(this.#root, 'images'), () => true)
    await using worker = await this.#start()
    const pid = await worker.start()
    await runTool('sync')
    const cpuBefore = await cpuSecondsOf(pid)
    const delays = monitorEventLoopDelay({ resolution: 1 })
    delays.enable()
    const start = performance.now()
    const { path, sizeBytes } = await worker.rootImage(name)
    const wallSeconds = (performance.now() - start) / 1000
    delays.disable()
    const cpuSeconds = (await cpuSecondsOf(pid)) - cpuBefore
    const peakMiB = await peakMiBOf(pid)
    await this.#segmentsAreKept()
    return { wallSeconds, cpuSeconds, peakMiB, path, sizeBytes, longestDelayMs: delays.max / 1e6 }
  }

  #start(): Promise<ImageWorkerClient> {
    return this.#startImageWorker({ root: this.#root })
  }

  /** New segments get their names a little later than the image; a worker that ends before takes them along. */
  async #segmentsAreKept(): Promise<void> {
    const hasNew = async () => (await readdir(this.#segments)).some((name) => name.includes('.tmp-'))
    while (await hasNew()) await setTimeout(20)
  }

  async #forget(folder: string, isForgotten: (name: string) => boolean): Promise<void> {
    for (const name of await readdir(folder)) if (isForgotten(name)) await rm(join(folder, name))
  }
}

async function cpuSecondsOf(pid: number | undefined): Promise<number> {
  // proc(5): utime and stime are fields 14 and 15; the name in field 2 may hold spaces.
  const text = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

async function peakMiBOf(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
}
