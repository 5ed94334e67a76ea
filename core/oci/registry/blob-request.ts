// Asks one server for a blob or a part of it.

import { digestAlgorithm, digestOf, requireSameDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import type { Descriptor } from '../manifest.ts'
import { isForeignLayer } from '../media-types.ts'
import { readEither } from './content-encoding.ts'
import type { HttpResponse } from './http-client.ts'
import type { RegistryConnection } from './registry-connection.ts'

/** A part of a blob: offsets of its first and, unless it goes to the end, its last byte (RFC 9110 §14.1.2). */
export interface ByteRange {
  readonly start: number
  readonly end?: number | undefined
}

export interface BlobRequest {
  readonly descriptor: Descriptor
  /** How errors name what it belongs to. */
  readonly name: string
  readonly range?: ByteRange | undefined
  /** Whether layers that lie elsewhere may be fetched from there. */
  readonly allowForeign?: boolean | undefined
  readonly signal: AbortSignal | undefined
}

/** The answer is 200, 206 or 416 and has to be judged. Throws `oci.not-found`, `oci.unsupported-media`, and what `send` throws. */
export async function getBlob(connection: RegistryConnection, request: BlobRequest): Promise<HttpResponse> {
  const { descriptor, name, range, signal } = request
  const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` }
  const path = `blobs/${descriptor.digest}`
  const response = await connection.send({ method: 'GET', path, headers, signal })
  if (response.status !== 404 && response.status !== 405) return response
  await response.discard()
  // Registries may have such layers all the same, so they are asked first.
  if (isForeignLayer(descriptor.mediaType)) return getForeign(connection, request, headers)
  throw new OciError(
    'oci.not-found',
    `Cannot read ${name}: ${connection.host} does not have its blob ${descriptor.digest}`,
    { data: { where: connection.host } },
  )
}

/** A small blob, whole and verified. Throws `oci.size-mismatch`, `oci.digest-mismatch`, and what `getBlob` throws. */
export async function readBlob(connection: RegistryConnection, request: BlobRequest): Promise<Buffer> {
  const { descriptor, name } = request
  const { digest, size } = descriptor
  const what = `a part of ${name}`
  const hash = (bytes: Buffer) => digestOf(bytes, digestAlgorithm(digest))
  const response = await getBlob(connection, request)
  // Encoded it may be larger than what it stands for.
  const limitBytes = size + (response.header('content-encoding') === undefined ? 0 : ENCODING_BYTES)
  const bytes = await readEither(response, { limitBytes, what, isRight: (raw) => hash(raw) === digest })
  if (bytes.length !== size) {
    throw new OciError(
      'oci.size-mismatch',
      `Cannot accept ${what}: it has ${bytes.length} bytes, ${size} were announced`,
    )
  }
  requireSameDigest(what, digest, hash(bytes))
  return bytes
}

const ENCODING_BYTES = 64 * 1024

/** From the places that the descriptor names: https only, never with credentials, and only where that was allowed. */
async function getForeign(
  connection: RegistryConnection,
  { descriptor, name, allowForeign, signal }: BlobRequest,
  headers: Readonly<Record<string, string>>,
): Promise<HttpResponse> {
  const urls = (descriptor.urls ?? []).flatMap((text) => URL.parse(text) ?? [])
  const places = [...new Set(urls.map(({ host }) => host))].join(', ') || 'nowhere'
  const layer = `layer ${descriptor.digest} of ${name}`
  if (allowForeign !== true) {
    throw new OciError(
      'oci.unsupported-media',
      `Cannot read ${layer}: it is not in the registry but at ${places}, and fetching layers from elsewhere is not allowed`,
      { data: { mediaType: descriptor.mediaType, urls: urls.map(({ href }) => href) } },
    )
  }
  for (const url of urls) {
    if (url.protocol !== 'https:' || url.username !== '' || url.password !== '') continue
    const response = await connection.sendForeign(url, { headers, signal })
    if (response.status < 400 || response.status === 416) return response
    await response.discard()
  }
  throw new OciError(
    'oci.not-found',
    `Cannot read ${layer}: it is neither in the registry nor, with https, at ${places}`,
    { data: { where: places } },
  )
}
