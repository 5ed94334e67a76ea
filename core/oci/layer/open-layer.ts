// Reads a layer file as the plain tar stream that it holds, whatever its compression. Streams, so that a layer of any
// size takes a few MiB.

import { createReadStream, type ReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
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
  /** Told about the bytes of the file as they are read. */
  readonly onRead?: ((bytes: number) => void) | undefined
}

/**
 * Yields the uncompressed bytes of a layer: gzip with one or more members, zstd with one or more frames, or plain tar.
 * The chunks are never written to again and may be kept.
 * Throws `oci.corrupt-layer`, `oci.unsupported-media`, `oci.cancelled`, or the system's error when reading fails.
 */
export async function* openLayer(options: OpenLayerOptions): AsyncGenerator<Buffer, void, void> {
  const { path, layerName, signal } = options
  throwIfCancelled(signal, `read ${layerName}`)
  const compression = detectCompression(await readHead(path), layerName)
  const source = createReadStream(path, { highWaterMark: CHUNK_BYTES })
  const bytes = countBytes(source, options.onRead)
  if (compression === 'none') {
    for await (const chunk of bytes) {
      throwIfCancelled(signal, `read ${layerName}`)
      yield chunk
    }
    return
  }
  const decoder =
    compression === 'gzip'
      ? createGunzip({ chunkSize: CHUNK_BYTES })
      : createZstdDecompress({ chunkSize: CHUNK_BYTES })
  const input = compression === 'gzip' ? bytes : zstdPieces(bytes, layerName)
  const feeding = pipeline(input, decoder, signal === undefined ? {} : { signal })
  try {
    for await (const chunk of decoder) {
      throwIfCancelled(signal, `read ${layerName}`)
      yield chunk
    }
    await feeding
  } catch (error) {
    throwIfCancelled(signal, `read ${layerName}`)
    throw asLayerError(error, layerName)
  } finally {
    decoder.destroy()
    source.destroy()
    await feeding.catch(() => undefined)
  }
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const head = Buffer.alloc(COMPRESSION_MAGIC_BYTES)
    const { bytesRead } = await file.read(head, 0, head.length, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function* countBytes(
  source: ReadStream,
  onRead: ((bytes: number) => void) | undefined,
): AsyncGenerator<Buffer, void, void> {
  for await (const chunk of source) {
    onRead?.(chunk.length)
    yield chunk
  }
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
