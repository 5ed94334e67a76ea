// Reads manifests and indexes from one server, and asks where a tag leads. A document is known by the digest of its bytes:
// what a server announces is only compared with it.

import { type Digest, digestAlgorithm, digestOf, isDigest, requireSameDigest } from '../digest.ts'
import { LIMITS } from '../limits.ts'
import { ACCEPTED_MANIFESTS } from '../media-types.ts'
import type { RateLimit } from '../progress.ts'
import { readEither } from './content-encoding.ts'
import type { HttpResponse } from './http-client.ts'
import { parseRateLimit } from './rate-limit.ts'
import type { RegistryConnection } from './registry-connection.ts'

export interface ManifestAnswer {
  readonly bytes: Buffer
  readonly digest: Digest
  /** As the server delivered it; undefined where that says nothing. */
  readonly mediaType: string | undefined
  readonly rateLimit: RateLimit | undefined
}

export interface ManifestRequest {
  /** A tag or a digest. */
  readonly key: string
  /** Names the document in errors. */
  readonly what: string
  readonly signal: AbortSignal | undefined
}

/**
 * Gets a manifest or index; undefined when there is none. Throws `oci.digest-mismatch` when it is another one than asked
 * for or announced, `oci.limit`, and what `RegistryConnection.send` throws.
 */
export async function getManifest(
  connection: RegistryConnection,
  { key, what, signal }: ManifestRequest,
): Promise<ManifestAnswer | undefined> {
  const response = await send(connection, 'GET', key, signal)
  if (response.status !== 200) {
    await response.discard()
    return undefined
  }
  const expected = isDigest(key) ? key : announcedDigest(response)
  const hash = (bytes: Buffer) =>
    digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected))
  const isRight = (bytes: Buffer) =>
    expected === undefined ? bytes.toString('latin1', 0, 1) === '{' : hash(bytes) === expected
  const bytes = await readEither(response, { limitBytes: LIMITS.manifestBytes, what, isRight })
  const digest = hash(bytes)
  if (expected !== undefined) requireSameDigest(what, expected, digest)
  return { bytes, digest, mediaType: contentType(response), rateLimit: parseRateLimit(response) }
}

/**
 * Where a tag leads, without its manifest (registries do not count HEAD against a limit of pulls). `digest` is undefined
 * where the server does not say, the answer where it has no such tag.
 */
export async function headManifest(
  connection: RegistryConnection,
  { key, signal }: Omit<ManifestRequest, 'what'>,
): Promise<Pick<Partial<ManifestAnswer>, 'digest' | 'rateLimit'> | undefined> {
  const response = await send(connection, 'HEAD', key, signal)
  await response.discard()
  if (response.status === 404) return undefined
  const digest = response.status === 200 ? announcedDigest(response) : undefined
  const rateLimit = parseRateLimit(response)
  return { ...(digest === undefined ? {} : { digest }), ...(rateLimit === undefined ? {} : { rateLimit }) }
}

function send(
  connection: RegistryConnection,
  method: 'GET' | 'HEAD',
  key: string,
  signal: AbortSignal | undefined,
): Promise<HttpResponse> {
  const headers = { accept: ACCEPTED_MANIFESTS }
  return connection.send({ method, path: `manifests/${key}`, headers, signal })
}

/** Docker-Content-Digest (distribution-spec "Pulling manifests"); one that is no digest says nothing. */
function announcedDigest(response: HttpResponse): Digest | undefined {
  const text = response.header('docker-content-digest')
  return text !== undefined && isDigest(text) ? text : undefined
}

/** The media type without parameters; undefined for types that say nothing. */
function contentType(response: HttpResponse): string | undefined {
  const type = response.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  const saysNothing = ['', 'application/json', 'application/octet-stream', 'text/plain']
  return type === undefined || saysNothing.includes(type) ? undefined : type
}
