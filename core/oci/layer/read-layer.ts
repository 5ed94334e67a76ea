// One pass over a layer: decompress, hash, parse, and tell a visitor what the layer holds. The diffID (the digest of the
// uncompressed tar, image-spec config.md) is always checked, so that no other reading of the bytes can be slipped in.

import {
  type Digest,
  Digester,
  digestAlgorithm,
  parseDigest,
  requireSameDigest,
  shortDigest,
} from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { decompressLayer } from './open-layer.ts'
import type { TarEntry } from './tar-entry.ts'
import { type TarHandler, TarParser } from './tar-parser.ts'

export interface ReadLayerOptions {
  /** How errors name the layer, see `layerName`. */
  readonly name: string
  /** Digest of the uncompressed tar, which the layer must turn out to have. */
  readonly diffId: Digest
  readonly signal?: AbortSignal | undefined
  /** Awaited after each chunk of about 1 MiB: back-pressure of whoever uses the data. */
  readonly ready?: (() => Promise<void>) | undefined
}

/** What a layer holds. */
export interface LayerIndex {
  readonly name: string
  /** In the order of the tar; can be gone through any number of times. */
  readonly entries: Iterable<TarEntry>
  /** Size of the uncompressed tar. */
  readonly tarBytes: number
}

/** How a layer is called in messages: its place in the image from 1, and its digest. */
export function layerName(position: number, digest: string): string {
  return `layer ${position} (${shortDigest(parseDigest(digest))})`
}

/**
 * Reads a layer from end to end, as its stored bytes come, telling `handler` all that it holds. Resolves with the size of
 * the uncompressed tar, when all of it is proved to be what the diffID says.
 * Throws `oci.corrupt-layer`, `oci.digest-mismatch`, `oci.limit`, `oci.unsupported-media`, `oci.cancelled`, or what the
 * source throws.
 */
export async function readLayer(
  source: AsyncIterable<Buffer>,
  { name, diffId, signal, ready }: ReadLayerOptions,
  handler: TarHandler,
): Promise<number> {
  const digester = new Digester(digestAlgorithm(diffId))
  const parser = new TarParser(name, handler)
  const stored = countedBytes(source)
  let tarBytes = 0
  for await (const chunk of decompressLayer(stored.bytes, { layerName: name, signal })) {
    tarBytes += chunk.length
    requireHonestSize(name, tarBytes, stored.count())
    digester.update(chunk)
    parser.write(chunk)
    await ready?.()
  }
  parser.finish()
  requireSameDigest(name, diffId, digester.finish())
  return tarBytes
}

function countedBytes(source: AsyncIterable<Buffer>) {
  let count = 0
  async function* counted(): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of source) {
      count += chunk.length
      yield chunk
    }
  }
  return { bytes: counted(), count: () => count }
}

function requireHonestSize(name: string, tarBytes: number, storedBytes: number): void {
  if (tarBytes > LIMITS.layerUncompressedBytes)
    throw tooLarge(name, `${LIMITS.layerUncompressedBytes / 1024 ** 3} GiB`, 'layerUncompressedBytes')
  if (tarBytes > LIMITS.expansionFreeBytes && tarBytes > storedBytes * LIMITS.expansion)
    throw tooLarge(name, `${LIMITS.expansion} times what it takes compressed`, 'expansion')
}

function tooLarge(name: string, limit: string, which: string): OciError {
  return new OciError('oci.limit', `Cannot read ${name}: it holds more than ${limit}`, { data: { which } })
}
