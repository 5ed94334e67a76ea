// One pass over a layer: decompress, hash, parse, and tell a visitor what the layer holds. The diffID (the digest of the
// uncompressed tar, image-spec config.md) is always checked, so that no other reading of the bytes can be slipped in.

import { Digester, parseDigest, requireSameDigest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { openLayer } from './open-layer.ts'
import type { TarEntry } from './tar-entry.ts'
import { type TarHandler, TarParser } from './tar-parser.ts'

/** A layer's file on disk, with what its content must hash to. */
export interface LayerFile {
  readonly path: string
  /** Digest of the file as stored. It was checked when the file came into the store; here it only names the layer. */
  readonly digest: string
  /** Digest of the uncompressed tar. */
  readonly diffId: string
}

export interface ReadLayerOptions {
  /** How errors name the layer, see `layerName`. */
  readonly name: string
  readonly signal?: AbortSignal | undefined
  /** Told about the bytes of the file as they are read. */
  readonly onRead?: ((bytes: number) => void) | undefined
  /** Awaited after each chunk of about 1 MiB: back-pressure of whoever uses the data. */
  readonly ready?: (() => Promise<void>) | undefined
}

/** What a layer holds, in the order of its tar. */
export interface LayerIndex {
  readonly name: string
  readonly entries: readonly TarEntry[]
  /** Size of the uncompressed tar. */
  readonly tarBytes: number
}

/** How a layer is called in messages: its place in the image from 1, and its digest. */
export function layerName(position: number, digest: string): string {
  return `layer ${position} (${shortDigest(parseDigest(digest))})`
}

/**
 * Reads a layer from end to end, passing its file contents to `handler`, and returns its index.
 * Throws `oci.corrupt-layer`, `oci.digest-mismatch`, `oci.limit`, `oci.unsupported-media`, `oci.cancelled`.
 */
export async function readLayer(
  layer: LayerFile,
  options: ReadLayerOptions,
  handler: TarHandler,
): Promise<LayerIndex> {
  const { name, signal, onRead } = options
  const diffId = parseDigest(layer.diffId, `diffID of ${name}`)
  const digester = new Digester(diffId.startsWith('sha512:') ? 'sha512' : 'sha256')
  const entries: TarEntry[] = []
  const parser = new TarParser(name, {
    entry(entry) {
      entries.push(entry)
      handler.entry(entry)
    },
    data: (chunk) => handler.data(chunk),
    hole: (sizeBytes) => handler.hole(sizeBytes),
    end: () => handler.end(),
  })
  let tarBytes = 0
  for await (const chunk of openLayer({ path: layer.path, layerName: name, signal, onRead })) {
    tarBytes += chunk.length
    if (tarBytes > LIMITS.layerUncompressedBytes) throw tooLarge(name)
    digester.update(chunk)
    parser.write(chunk)
    await options.ready?.()
  }
  parser.finish()
  requireSameDigest(name, diffId, digester.finish())
  return { name, entries, tarBytes }
}

function tooLarge(name: string): OciError {
  const limitGiB = LIMITS.layerUncompressedBytes / 1024 ** 3
  return new OciError('oci.limit', `Cannot read ${name}: it holds more than ${limitGiB} GiB`, {
    data: { which: 'layerUncompressedBytes' },
  })
}
