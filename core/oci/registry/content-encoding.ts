// Bodies that come encoded though none of it was asked for. What counts are the bytes on the wire; only when those are not
// the content that was promised, and an encoding was declared, they are decoded once and looked at again.

import { pipeline, Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { OciError } from '../errors.ts'
import { TransientFailure } from './backoff.ts'
import { type HttpResponse, readBody } from './http-client.ts'

/** RFC 9110 §8.4.1, RFC 8878 §7.2 and RFC 7932 §13. */
const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
}

/** The encoding that a response declares, if it is a single one that we can undo. */
export function encodingOf(response: HttpResponse): string | undefined {
  const encoding = response.header('content-encoding')?.trim().toLowerCase()
  return encoding !== undefined && Object.hasOwn(DECODERS, encoding) ? encoding : undefined
}

/** Undoes an encoding. Throws `oci.registry` when the body is not encoded so. */
export async function* decode(
  body: AsyncIterable<Buffer>,
  encoding: string,
): AsyncGenerator<Buffer, void, void> {
  const decoder = DECODERS[encoding]?.()
  if (decoder === undefined) throw new OciError('oci.internal', `Cannot decode "${encoding}"`)
  // A failure of either side arrives through the decoder.
  pipeline(Readable.from(body), decoder, () => {})
  try {
    yield* decoder
  } catch (cause) {
    if (cause instanceof OciError || cause instanceof TransientFailure) throw cause
    throw new OciError('oci.registry', `Cannot read what came: it is not encoded with ${encoding}`, { cause })
  }
}

/**
 * Reads a whole body: as it came, or decoded where only that `isRight`. Both are limited. Throws `oci.limit`.
 */
export async function readEither(
  response: HttpResponse,
  { limitBytes, what, isRight }: ReadEitherOptions,
): Promise<Buffer> {
  const raw = await readBody(response, limitBytes, what)
  const encoding = encodingOf(response)
  if (encoding === undefined || isRight(raw)) return raw
  const body = decode(Readable.from([raw]), encoding)
  const decoded = await readBody({ ...response, body }, limitBytes, what)
  return isRight(decoded) ? decoded : raw
}

export interface ReadEitherOptions {
  readonly limitBytes: number
  readonly what: string
  /** Whether these bytes are what was promised. */
  readonly isRight: (bytes: Buffer) => boolean
}
