// Layers → one root image: a segment for each layer (mostly there already, made while the layer was downloaded), their
// indexes merged into a tree, and of segments and tree the image. Nothing of an image's content touches the host's file
// system by name.

import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { syncFolder, temporaryName } from '../durable-file.ts'
import { isDigest, parseDigest } from './digest.ts'
import { cancelled, fromDiskError, OciError, throwIfCancelled } from './errors.ts'
import { inParallel } from './in-parallel.ts'
import { layerName } from './layer/read-layer.ts'
import { LIMITS } from './limits.ts'
import { mergeLayersInTurns } from './merge/merge-layers.ts'
import { type DirectoryNode, nodesOf } from './merge/tree.ts'
import type { LayerSegments, LayerSource, OpenLayer } from './segments/layer-segments.ts'
import type { ImageFormat } from './writers/image-format.ts'

/** A layer of the image to be built. */
export interface ImageLayer {
  /** Digest of the layer as stored. It was checked when the layer came into the store; here it only names it. */
  readonly digest: string
  /** Digest of the uncompressed tar. */
  readonly diffId: string
  /** Size of the layer as stored, for progress. */
  readonly sizeBytes: number
  /** The layer as stored; read when it has no segment. */
  readonly source: LayerSource
}

export interface BuildRootImageOptions {
  /** Bottom to top. */
  readonly layers: readonly ImageLayer[]
  /** Segments in the format of the image. */
  readonly segments: LayerSegments
  readonly format: ImageFormat
  /** Where the image goes; replaced at once when the image is complete. */
  readonly output: string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: BuildProgress) => void) | undefined
}

/** `unpack`: bytes of layers as stored, those with a segment count from the start. `write`: bytes of the image's contents. */
export interface BuildProgress {
  readonly phase: 'unpack' | 'merge' | 'write' | 'sync'
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
 * Builds a root image out of layers. The image appears under `output` complete, checked and synced, or not at all: on
 * failure and when aborted nothing is left behind but segments. The same layers always make the same bytes.
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
    await using opened = new AsyncDisposableStack()
    const openLayers = await openAll(options, opened)
    const built = await writeImage(options, openLayers, temporary)
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

/** Opens the segments of all layers, making those that are missing; `stack` closes them. */
async function openAll(
  { layers, segments, signal, onProgress }: BuildRootImageOptions,
  stack: AsyncDisposableStack,
): Promise<OpenLayer[]> {
  const bytesTotal = layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const bytesRead: number[] = []
  for (const { diffId, sizeBytes } of layers)
    bytesRead.push(isDigest(diffId) && (await segments.stat(diffId)) !== undefined ? sizeBytes : 0)
  const note = (position: number, bytes: number) => {
    // A layer may be read again from its beginning: what was reported stays true of the job.
    if (bytes <= (bytesRead[position] ?? 0)) return
    bytesRead[position] = bytes
    const bytesDone = bytesRead.reduce((sum, some) => sum + some, 0)
    onProgress?.({ phase: 'unpack', bytesDone, bytesTotal })
  }
  const opened: OpenLayer[] = []
  // All at once: segments are made a few at a time, and opening those that are there is quick.
  await inParallel([...layers.entries()], layers.length, signal, async ([position, layer], groupSignal) => {
    const name = layerName(position + 1, layer.digest)
    const digest = parseDigest(layer.digest, `digest of ${name}`)
    const diffId = parseDigest(layer.diffId, `diffID of ${name}`)
    opened[position] = stack.use(
      await segments.ensure({ digest, diffId, name }, layer.source, {
        signal: groupSignal,
        onProgress: (bytes) => note(position, bytes),
      }),
    )
    note(position, layer.sizeBytes)
  })
  return opened
}

async function writeImage(
  { format, signal, onProgress }: BuildRootImageOptions,
  layers: readonly OpenLayer[],
  temporary: string,
): Promise<BuiltRootImage> {
  let reported = { bytesDone: 0, bytesTotal: 0 }
  const report = (phase: BuildProgress['phase']) => onProgress?.({ phase, ...reported })
  report('merge')
  const { root, uncompressedBytes } = await merge(layers, signal)
  throwIfCancelled(signal, ACTION)
  await using file = await open(temporary, 'wx+')
  const { sizeBytes, inodeCount } = await format.writeImage({
    file,
    root,
    segments: layers.map(({ segment }) => segment),
    signal,
    onProgress(bytesDone, bytesTotal) {
      reported = { bytesDone, bytesTotal }
      report('write')
    },
  })
  throwIfCancelled(signal, ACTION)
  report('sync')
  await format.check(file, sizeBytes)
  await file.sync()
  return { sizeBytes, entries: inodeCount, uncompressedBytes }
}

/** The tree that the layers make, and the size of all files in it. */
async function merge(
  layers: readonly OpenLayer[],
  signal: AbortSignal | undefined,
): Promise<{ root: DirectoryNode; uncompressedBytes: number }> {
  const tarBytes = layers.reduce((sum, { index }) => sum + index.tarBytes, 0)
  if (tarBytes > LIMITS.imageUncompressedBytes) throw imageTooLarge()
  const indexes = layers.map(({ index }) => index)
  const root = await mergeLayersInTurns(indexes, signal)
  let uncompressedBytes = 0
  for (const node of nodesOf(root)) if (node.kind === 'file') uncompressedBytes += node.sizeBytes
  // Holes are not stored in the layers: their own sizes say nothing about them.
  if (uncompressedBytes > LIMITS.imageUncompressedBytes) throw imageTooLarge()
  return { root, uncompressedBytes }
}

function imageTooLarge(): OciError {
  const limitGiB = LIMITS.imageUncompressedBytes / 1024 ** 3
  return new OciError('oci.limit', `Cannot ${ACTION}: it holds more than ${limitGiB} GiB`, {
    data: { which: 'imageUncompressedBytes' },
  })
}
