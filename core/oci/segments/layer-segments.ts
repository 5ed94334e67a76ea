// The segments of all layers that this host has seen: each layer is taken apart and compressed once, mostly while it is
// downloaded, and every image that holds it is made of the result. Derived from the layers, and made again when missing.
//
// A new segment can be used at once; it gets its name only after it was synced, when its users have let go of it, so that
// nobody waits for the disk. A power cut before that leaves a temporary file, which nobody believes.

import { mkdir, open, readdir, rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { commitFile, removeTemporaries, TEMPORARY_MARK, temporaryName } from '../../durable-file.ts'
import { type Digest, digestHex, isDigest } from '../digest.ts'
import { cancelled, fromDiskError, OciError, throwIfCancelled } from '../errors.ts'
import { sizeOf } from '../file-bytes.ts'
import type { LayerIndex } from '../layer/read-layer.ts'
import { type FlightContext, SingleFlight } from '../single-flight.ts'
import type { ImageFormat, OpenSegment } from '../writers/image-format.ts'
import { decodeLayerIndex } from './layer-index-codec.ts'
import { makeSegment } from './make-segment.ts'
import { openSegment, readFigures, type SegmentFile } from './segment-file.ts'
import { Slots } from './slots.ts'

/** A layer, as far as its segment needs to know it. */
export interface SegmentLayer {
  /** Digest of the layer as stored. Whoever provides the bytes has checked it, or checks it as they come. */
  readonly digest: Digest
  /** Digest of the uncompressed tar: the segment's identity, always checked. */
  readonly diffId: Digest
  /** How errors name the layer, e.g. `layer 2 (0123456789ab)`. */
  readonly name: string
}

/**
 * Opens the stored (compressed) bytes of a layer, from the first one on. Called only when there is no segment, and perhaps
 * some time after `ensure`. The bytes must end, or fail, soon after `signal` is aborted.
 */
export type LayerSource = (signal: AbortSignal) => AsyncIterable<Buffer>

export interface EnsureOptions {
  readonly signal?: AbortSignal | undefined
  /** Told how many of the layer's stored bytes have been read; never called when the segment is there already. */
  readonly onProgress?: ((bytesRead: number) => void) | undefined
}

/** A layer that is ready to be built with. Dispose of it soon: a new segment is given its place afterwards. */
export interface OpenLayer extends AsyncDisposable {
  readonly index: LayerIndex
  readonly segment: OpenSegment
  /** Sum of the sizes of the layer's files, with their holes. */
  readonly contentBytes: number
}

export interface LayerStat {
  /** Tar entries, whiteouts included. */
  readonly entries: number
  /** Sum of the sizes of the layer's files, with their holes. */
  readonly contentBytes: number
}

export interface LayerSegmentsOptions {
  /** `layers/` of the store; made when missing. This process has it alone. */
  readonly folder: string
  readonly format: ImageFormat
  /** Told about segments that could not be kept; they are made again when they are needed. */
  readonly log?: ((message: string) => void) | undefined
}

/** A segment that was made and has no name yet. */
interface NewSegment {
  readonly path: string
  users: number
  committing: Promise<void> | undefined
}

const SUFFIX = '.seg'

export class LayerSegments implements AsyncDisposable {
  readonly #folder: string
  readonly #format: ImageFormat
  readonly #log: (message: string) => void
  readonly #flights = new SingleFlight<void, number>()
  readonly #new = new Map<Digest, NewSegment>()
  /** A layer takes a thread of its own to decompress, some MiB, and a share of all others to compress. */
  readonly #slots = new Slots(Math.min(4, Math.max(2, availableParallelism())))

  private constructor({ folder, format, log = () => {} }: LayerSegmentsOptions) {
    this.#folder = folder
    this.#format = format
    this.#log = log
  }

  /** Opens the folder and drops half-made segments. */
  static async open(options: LayerSegmentsOptions): Promise<LayerSegments> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 })
    await removeTemporaries(options.folder)
    return new LayerSegments(options)
  }

  /** Waits until what was made has its place. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#new].map(([diffId, segment]) => this.#commit(diffId, segment)))
  }

  /**
   * Opens the segment of a layer, made from `source` when there is none: once, however many ask at the same time, and a
   * few layers at a time. The layer's diffID has then been checked.
   * Throws `oci.corrupt-layer`, `oci.digest-mismatch`, `oci.limit`, `oci.unsupported-media`, `oci.no-space`,
   * `oci.cancelled`, or what the source throws.
   */
  async ensure(layer: SegmentLayer, source: LayerSource, options: EnsureOptions = {}): Promise<OpenLayer> {
    const { signal } = options
    const ours = { hasRun: false }
    for (;;) {
      throwIfCancelled(signal, `read ${layer.name}`)
      const opened = await this.#open(layer)
      if (opened !== undefined) return opened
      if (ours.hasRun)
        throw new OciError('oci.internal', `Cannot read ${layer.name}: its segment is not what was written`)
      try {
        await this.#flights.run(
          layer.diffId,
          `read ${layer.name}`,
          (flight) => {
            ours.hasRun = true
            return this.#make(layer, source, flight)
          },
          options,
        )
      } catch (error) {
        // The source of somebody else may break for reasons of its own, such as being given up: then ours has its turn.
        if (ours.hasRun || signal?.aborted === true) throw error
      } finally {
        this.#letGo(layer.diffId)
      }
    }
  }

  /** What is known of a layer that has a segment. */
  async stat(diffId: Digest): Promise<LayerStat | undefined> {
    const figures = await readFigures(this.#new.get(diffId)?.path ?? this.#pathOf(diffId))
    return figures && { entries: figures.entryCount, contentBytes: figures.contentBytes }
  }

  /**
   * Removes the segments of layers that are not wanted, and of other formats; returns the bytes that became free.
   * `dryRun` removes nothing and tells what it would.
   */
  async sweep(
    isWanted: (diffId: Digest) => boolean,
    { dryRun = false }: { readonly dryRun?: boolean | undefined } = {},
  ): Promise<number> {
    let freedBytes = 0
    for (const { name, diffId } of await this.list()) {
      if (diffId !== undefined && isWanted(diffId)) continue
      const file = path.join(this.#folder, name)
      freedBytes += dryRun ? await sizeOf(file) : await remove(file)
    }
    return freedBytes
  }

  /** All files in the folder but those that are being made; `diffId` names the layer whose segment, in our format, a file is. */
  async list(): Promise<{ readonly name: string; readonly diffId: Digest | undefined }[]> {
    const names = await readdir(this.#folder)
    // What is being made has a temporary name and is somebody's work.
    const finished = names.filter((name) => !name.includes(TEMPORARY_MARK))
    return finished.map((name) => ({ name, diffId: this.#diffIdOf(name) }))
  }

  /** Whether a layer's segment is there and its tables are what was written. */
  async isSound(diffId: Digest): Promise<boolean> {
    const segment = await openSegment(this.#pathOf(diffId), { format: this.#format, diffId })
    await segment?.file.close()
    return segment !== undefined
  }

  async #open(layer: SegmentLayer): Promise<OpenLayer | undefined> {
    const { diffId } = layer
    const identity = { format: this.#format, diffId }
    const fresh = this.#new.get(diffId)
    if (fresh !== undefined) fresh.users += 1
    // It may be given its name while it is opened.
    const file =
      (fresh && (await openSegment(fresh.path, identity))) ??
      (await openSegment(this.#pathOf(diffId), identity))
    if (file === undefined) {
      if (fresh !== undefined) fresh.users -= 1
      return undefined
    }
    return openedLayer(layer, file, () => {
      if (fresh === undefined) return
      fresh.users -= 1
      this.#letGo(diffId)
    })
  }

  async #make(
    { diffId, name }: SegmentLayer,
    source: LayerSource,
    { signal, report }: FlightContext<number>,
  ): Promise<void> {
    using _slot = await this.#slots.take(signal, `read ${name}`)
    const temporary = temporaryName(this.#pathOf(diffId))
    try {
      await using file = await open(temporary, 'wx+', 0o600)
      const bytes = counted(source(signal), report)
      await makeSegment(bytes, { file, format: this.#format, diffId, name, signal })
      if (signal.aborted) throw cancelled(`read ${name}`, signal.reason)
    } catch (error) {
      await rm(temporary, { force: true })
      throw signal.aborted && !(error instanceof OciError)
        ? cancelled(`read ${name}`, error)
        : fromDiskError(`unpack ${name}`, error)
    }
    this.#new.set(diffId, { path: temporary, users: 0, committing: undefined })
  }

  /** Gives a new segment its place when nobody uses it, off everybody's way. */
  #letGo(diffId: Digest): void {
    const segment = this.#new.get(diffId)
    // Its maker is about to open it: wait a turn for that.
    setImmediate(() => {
      if (segment?.users === 0) void this.#commit(diffId, segment)
    })
  }

  #commit(diffId: Digest, segment: NewSegment): Promise<void> {
    segment.committing ??= this.#sync(segment.path, this.#pathOf(diffId)).finally(() => {
      if (this.#new.get(diffId) === segment) this.#new.delete(diffId)
    })
    return segment.committing
  }

  async #sync(temporary: string, final: string): Promise<void> {
    try {
      await using file = await open(temporary, 'r')
      await commitFile(file, temporary, final, 0o444)
    } catch (error) {
      this.#log(`A segment could not be kept: ${String(error)}`)
      await rm(temporary, { force: true }).catch(() => undefined)
    }
  }

  #pathOf(diffId: Digest): string {
    return path.join(this.#folder, `${digestHex(diffId)}${this.#ending}`)
  }

  /** The layer whose segment, in our format, has this name. */
  #diffIdOf(name: string): Digest | undefined {
    if (!name.endsWith(this.#ending)) return undefined
    const hex = name.slice(0, -this.#ending.length)
    const text = `${hex.length === 64 ? 'sha256' : 'sha512'}:${hex}`
    return isDigest(text) ? text : undefined
  }

  get #ending(): string {
    return `.${this.#format.name}-${this.#format.version}${SUFFIX}`
  }
}

function openedLayer(layer: SegmentLayer, file: SegmentFile, letGo: () => void): OpenLayer {
  const { index, entryCount, tarBytes, contentBytes } = file
  return {
    index: { name: layer.name, entries: decodeLayerIndex(index, entryCount), tarBytes },
    segment: file,
    contentBytes,
    async [Symbol.asyncDispose]() {
      await file.file.close()
      letGo()
    },
  }
}

async function* counted(
  source: AsyncIterable<Buffer>,
  report: (bytes: number) => void,
): AsyncGenerator<Buffer, void, void> {
  let bytes = 0
  for await (const chunk of source) {
    bytes += chunk.length
    report(bytes)
    yield chunk
  }
}

/** Removes a file; returns the bytes that became free. */
async function remove(file: string): Promise<number> {
  const sizeBytes = await sizeOf(file)
  await rm(file, { force: true })
  return sizeBytes
}
