// Layers on disk → one root image, in one pass over the data. The layers are read from the top down: what upper layers
// hide need not be compressed, and the rest goes into the image while it is decompressed. Then the layers are merged, and
// the tree is written behind the data. Nothing of an image's content touches the host's file system by name.

import { open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder, temporaryName } from '../durable-file.ts'
import { parseDigest } from './digest.ts'
import { cancelled, fromDiskError, OciError, throwIfCancelled } from './errors.ts'
import { readFileInPieces } from './layer/open-layer.ts'
import { type LayerIndex, layerName, readLayer } from './layer/read-layer.ts'
import type { TarEntry } from './layer/tar-entry.ts'
import type { TarHandler } from './layer/tar-parser.ts'
import { LIMITS } from './limits.ts'
import { mergeLayers } from './merge/merge-layers.ts'
import { ShadowedPaths } from './merge/shadowed-paths.ts'
import { type DirectoryNode, type FileNode, nodesOf } from './merge/tree.ts'
import type { ContentId, ImageWriter } from './writers/image-writer.ts'
import { checkSquashfs } from './writers/squashfs/self-check.ts'
import { DEFAULT_COMPRESSION_LEVEL, SquashfsWriter } from './writers/squashfs/squashfs-writer.ts'

/** A layer's file on disk, with what its content must hash to. */
export interface LayerFile {
  readonly path: string
  /** Digest of the file as stored. It was checked when the file came into the store; here it only names the layer. */
  readonly digest: string
  /** Digest of the uncompressed tar. */
  readonly diffId: string
}

export interface BuildRootImageOptions {
  /** Bottom to top. */
  readonly layers: readonly LayerFile[]
  /** Where the image goes; replaced at once when the image is complete. */
  readonly output: string
  /** zstd level, 1–22; 1 if left out. */
  readonly compressionLevel?: number | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: BuildProgress) => void) | undefined
}

/** Bytes of layer files for `write` (reading, compressing and writing are one pass); `merge` and `sync` take moments. */
export interface BuildProgress {
  readonly phase: 'write' | 'merge' | 'sync'
  readonly bytesDone: number
  readonly bytesTotal: number
}

export interface BuiltRootImage {
  /** Size of the image file. */
  readonly sizeBytes: number
  /** Files, directories and other objects in the image; hard links count once. */
  readonly entries: number
  /** Content of all regular files in the image, with their holes. */
  readonly uncompressedBytes: number
}

const ACTION = 'build the root image'

/**
 * Builds a squashfs root image out of layers. The image appears under `output` complete, checked and synced, or not at
 * all: on failure and when aborted nothing is left behind. The same layers always make the same bytes.
 * Throws `oci.corrupt-layer`, `oci.digest-mismatch`, `oci.unsupported-media`, `oci.limit`, `oci.no-space`,
 * `oci.cancelled`, or the system's error.
 */
export async function buildRootImage(options: BuildRootImageOptions): Promise<BuiltRootImage> {
  const { layers, output, signal } = options
  throwIfCancelled(signal, ACTION)
  if (layers.length === 0)
    throw new OciError('oci.corrupt-image', `Cannot ${ACTION}: the image has no layers`)
  const temporary = temporaryName(output)
  try {
    const built = await writeImage(options, temporary)
    throwIfCancelled(signal, ACTION)
    await rename(temporary, output)
    await syncFolder(dirname(output))
    return built
  } catch (error) {
    await rm(temporary, { force: true })
    if (error instanceof OciError) throw error
    if (signal?.aborted === true) throw cancelled(ACTION, error)
    throw fromDiskError(ACTION, error)
  }
}

async function writeImage(options: BuildRootImageOptions, temporary: string): Promise<BuiltRootImage> {
  const progress = await BuildMeter.open(options)
  await using file = await open(temporary, 'wx+')
  const writer = new SquashfsWriter(file, options.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL)
  try {
    const build = new Build(options, writer, progress)
    await build.readLayers()
    progress.report('merge')
    const { root, uncompressedBytes } = await build.merge()
    const { sizeBytes, inodeCount } = await writer.finish(root, (content) => build.contentOf(content))
    progress.report('sync')
    await file.sync()
    await checkSquashfs(file, sizeBytes)
    return { sizeBytes, entries: inodeCount, uncompressedBytes }
  } finally {
    await writer.close()
  }
}

class Build {
  readonly #options: BuildRootImageOptions
  readonly #writer: ImageWriter
  readonly #progress: BuildMeter
  readonly #names: readonly string[]
  readonly #indexes: LayerIndex[] = []
  /** For each layer, bottom first: where the contents of its entries went. */
  readonly #contents: Map<number, ContentId>[]
  /** Contents taken in so far, with their holes. */
  #contentBytes = 0

  constructor(options: BuildRootImageOptions, writer: ImageWriter, progress: BuildMeter) {
    this.#options = options
    this.#writer = writer
    this.#progress = progress
    this.#names = options.layers.map(({ digest }, position) => layerName(position + 1, digest))
    this.#contents = options.layers.map(() => new Map())
  }

  /** Reads all layers from the top down, writing the contents that will probably be seen. */
  async readLayers(): Promise<void> {
    const shadowed = new ShadowedPaths()
    let tarBytes = 0
    for (let position = this.#options.layers.length - 1; position >= 0; position--) {
      const index = await this.#readLayer(position, (entry) => !shadowed.hides(entry.path))
      this.#indexes[position] = index
      tarBytes += index.tarBytes
      if (tarBytes > LIMITS.imageUncompressedBytes) throw imageTooLarge()
      if (position > 0) shadowed.add([...index.entries])
    }
  }

  /** Merges the layers, and fetches the contents that were thought to be hidden and are not. */
  async merge(): Promise<{ root: DirectoryNode; uncompressedBytes: number }> {
    const root = mergeLayers(this.#indexes)
    const missing = new Map<number, Set<number>>()
    let uncompressedBytes = 0
    for (const node of nodesOf(root)) {
      if (node.kind !== 'file') continue
      uncompressedBytes += node.sizeBytes
      if (node.sizeBytes === 0 || this.#contents[node.layer]?.has(node.ordinal) === true) continue
      const ordinals = missing.get(node.layer) ?? new Set()
      missing.set(node.layer, ordinals.add(node.ordinal))
    }
    for (const [position, ordinals] of missing) {
      this.#progress.readAgain(position)
      await this.#readLayer(position, (entry) => ordinals.has(entry.ordinal))
    }
    return { root, uncompressedBytes }
  }

  contentOf(file: FileNode): ContentId {
    const content = this.#contents[file.layer]?.get(file.ordinal)
    if (content !== undefined) return content
    throw new OciError('oci.internal', `Cannot ${ACTION}: a file of layer ${file.layer + 1} has no content`)
  }

  // Soon gone: segments take over.
  async #readLayer(position: number, isWanted: (entry: TarEntry) => boolean): Promise<LayerIndex> {
    const layer = this.#options.layers[position]
    const name = this.#names[position]
    const contents = this.#contents[position]
    if (layer === undefined || name === undefined || contents === undefined)
      throw new OciError('oci.internal', `Cannot ${ACTION}: there is no layer ${position + 1}`)
    const entries: TarEntry[] = []
    const contents_ = this.#contentHandler(contents, isWanted)
    const handler: TarHandler = {
      ...contents_,
      entry(entry) {
        entries.push(entry)
        contents_.entry(entry)
      },
    }
    const progress = this.#progress
    const { path } = layer
    async function* source() {
      for await (const chunk of readFileInPieces(path)) {
        progress.add(chunk.length)
        yield chunk
      }
    }
    const tarBytes = await readLayer(
      source(),
      {
        name,
        diffId: parseDigest(layer.diffId, `diffID of ${name}`),
        signal: this.#options.signal,
        ready: () => this.#writer.ready(),
      },
      handler,
    )
    return { name, entries, tarBytes }
  }

  /** Passes the contents of wanted files on to the writer. */
  #contentHandler(contents: Map<number, ContentId>, isWanted: (entry: TarEntry) => boolean): TarHandler {
    const writer = this.#writer
    let isWriting = false
    return {
      entry: (entry) => {
        isWriting = entry.type === 'file' && entry.sizeBytes > 0 && isWanted(entry)
        if (!isWriting) return
        // Holes are not stored in the layer: its own size says nothing about them.
        this.#contentBytes += entry.sizeBytes
        if (this.#contentBytes > LIMITS.imageUncompressedBytes) throw imageTooLarge()
        contents.set(entry.ordinal, writer.beginFile(entry.sizeBytes))
      },
      data(chunk) {
        if (isWriting) writer.write(chunk)
      },
      hole(sizeBytes) {
        if (isWriting) writer.writeHole(sizeBytes)
      },
      end() {
        if (isWriting) writer.endFile()
        isWriting = false
      },
    }
  }
}

/** Counts the bytes of layer files that have been read. */
class BuildMeter {
  readonly #onProgress: BuildRootImageOptions['onProgress']
  readonly #layerBytes: readonly number[]
  #bytesDone = 0
  #bytesTotal: number

  private constructor(layerBytes: readonly number[], onProgress: BuildRootImageOptions['onProgress']) {
    this.#layerBytes = layerBytes
    this.#bytesTotal = layerBytes.reduce((sum, bytes) => sum + bytes, 0)
    this.#onProgress = onProgress
  }

  static async open({ layers, onProgress }: BuildRootImageOptions): Promise<BuildMeter> {
    const sizes = await Promise.all(layers.map(async ({ path }) => (await stat(path)).size))
    return new BuildMeter(sizes, onProgress)
  }

  add(bytes: number): void {
    this.#bytesDone += bytes
    this.report('write')
  }

  readAgain(position: number): void {
    this.#bytesTotal += this.#layerBytes[position] ?? 0
  }

  report(phase: BuildProgress['phase']): void {
    this.#onProgress?.({ phase, bytesDone: this.#bytesDone, bytesTotal: this.#bytesTotal })
  }
}

function imageTooLarge(): OciError {
  const limitGiB = LIMITS.imageUncompressedBytes / 1024 ** 3
  return new OciError('oci.limit', `Cannot ${ACTION}: it holds more than ${limitGiB} GiB`, {
    data: { which: 'imageUncompressedBytes' },
  })
}
