// Reads a layer as the plain tar stream that it holds, whatever its compression, from a file or while it is downloaded.
// Streams, so that a layer of any size takes a few MiB.

import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from 'node:zlib'
import { hasCode, OciError, throwIfCancelled } from '../errors.ts'
import { COMPRESSION_MAGIC_BYTES, detectCompression } from './compression.ts'
import { ZstdFrameSplitter } from './zstd-frame-splitter.ts'

/** zlib is twice as fast with 1 MiB pieces as with its 16 KiB default. */
const CHUNK_BYTES = 1024 * 1024

export interface OpenLayerOptions {
  readonly path: string
  /** How errors name the layer, e.g. `layer 2 (sha256:0123456789ab)`. */
  readonly layerName: string
  readonly signal?: AbortSignal | undefined
}

/** Reads a layer that is a file, see `decompressLayer`. */
export function openLayer({ path, ...options }: OpenLayerOptions): AsyncGenerator<Buffer, void, void> {
  return decompressLayer(readFileInPieces(path), options)
}

/** The bytes of a file, in pieces that suit `decompressLayer`. */
export async function* readFileInPieces(path: string): AsyncGenerator<Buffer, void, void> {
  yield* createReadStream(path, { highWaterMark: CHUNK_BYTES })
}

/**
 * Yields the uncompressed bytes of a layer whose stored bytes come from `source`: gzip with one or more members, zstd with
 * one or more frames, or plain tar. The chunks are never written to again and may be kept.
 * Throws `oci.corrupt-layer`, `oci.unsupported-media`, `oci.cancelled`, or what the source throws.
 */
export async function* decompressLayer(
  source: AsyncIterable<Buffer>,
  { layerName, signal }: Omit<OpenLayerOptions, 'path'>,
): AsyncGenerator<Buffer, void, void> {
  throwIfCancelled(signal, `read ${layerName}`)
  const pieces = source[Symbol.asyncIterator]()
  let feeding: Promise<void> | undefined
  let decoder: Gunzip | ZstdDecompress | undefined
  try {
    const head = await firstBytes(pieces, COMPRESSION_MAGIC_BYTES)
    const compression = detectCompression(head, layerName)
    const bytes = startingWith(head, pieces)
    if (compression === 'none') {
      for await (const chunk of bytes) {
        throwIfCancelled(signal, `read ${layerName}`)
        yield chunk
      }
      return
    }
    decoder =
      compression === 'gzip'
        ? createGunzip({ chunkSize: CHUNK_BYTES })
        : createZstdDecompress({ chunkSize: CHUNK_BYTES })
    const input = compression === 'gzip' ? bytes : zstdPieces(bytes, layerName)
    feeding = pipeline(input, decoder, signal === undefined ? {} : { signal })
    // It is awaited at the end; until then it may fail at any time.
    feeding.catch(() => undefined)
    for await (const chunk of decoder) {
      throwIfCancelled(signal, `read ${layerName}`)
      yield chunk
    }
    await feeding
  } catch (error) {
    throwIfCancelled(signal, `read ${layerName}`)
    throw asLayerError(error, layerName)
  } finally {
    decoder?.destroy()
    await feeding?.catch(() => undefined)
    await pieces.return?.()
  }
}

/** At least so many bytes of a source, in whole pieces; fewer where it is shorter. */
async function firstBytes(pieces: AsyncIterator<Buffer>, wantedBytes: number): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0)
  while (head.length < wantedBytes) {
    const { done, value } = await pieces.next()
    if (done === true) break
    head = head.length === 0 ? value : Buffer.concat([head, value])
  }
  return head
}

async function* startingWith(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void, void> {
  if (head.length > 0) yield head
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
}

async function* zstdPieces(
  source: AsyncIterable<Buffer>,
  layerName: string,
): AsyncGenerator<Buffer, void, void> {
  const splitter = new ZstdFrameSplitter(layerName)
  for await (const chunk of source) yield* splitter.split(chunk)
  splitter.finish()
}

/** zlib's complaints are about the layer; everything else (EIO, ENOENT) is not. */
function asLayerError(error: unknown, layerName: string): unknown {
  if (error instanceof OciError || !(error instanceof Error)) return error
  if (hasCode(error, 'Z_BUF_ERROR'))
    return new OciError('oci.corrupt-layer', `Cannot read ${layerName}: its compressed stream is cut off`, {
      cause: error,
    })
  const code = 'code' in error ? String(error.code) : ''
  if (!/^(Z_|ZSTD_|ERR_ZSTD)/.test(code)) return error
  return new OciError(
    'oci.corrupt-layer',
    `Cannot read ${layerName}: its compressed stream is damaged (${error.message})`,
    { cause: error },
  )
}
