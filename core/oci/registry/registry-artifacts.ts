// What belongs to an image beside its layers, from its registry. Mirrors are asked only while the registry cannot be
// reached: a signature that a mirror does not show would else be one that there is not.

import { type Digest, digestAlgorithm, digestHex, isDigest } from '../digest.ts'
import { embeddedContent } from '../embedded-content.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type Descriptor, parseDocument } from '../manifest.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import type { ImageReference } from '../reference.ts'
import type { ArtifactSource } from './artifact-source.ts'
import { DEFAULT_RETRY_POLICY } from './backoff.ts'
import { readBlob } from './blob-request.ts'
import { getManifest } from './manifest-request.ts'
import { readPages } from './pages.ts'
import type { RegistryAccess } from './registry-access.ts'
import type { RegistryConnection } from './registry-connection.ts'
import { RepositoryServers, type ServersOptions } from './repository-servers.ts'

export interface ArtifactsOptions extends Partial<ServersOptions> {
  readonly signal?: AbortSignal | undefined
}

/** What a registry answers that does not know the referrers API: 404, and others where it takes the path for something else. */
const HAS_NO_REFERRERS: ReadonlySet<unknown> = new Set([400, 404, 405, 406, 501])

/** The artifacts of a reference's repository; dispose it when they have been read. `signal` ends every request. */
export async function openArtifacts(
  reference: ImageReference,
  access: RegistryAccess,
  { signal, retryPolicy = DEFAULT_RETRY_POLICY, ...options }: ArtifactsOptions = {},
): Promise<ArtifactSource & AsyncDisposable> {
  const servers = new RepositoryServers(reference, access, { retryPolicy, ...options })
  const artifacts = new RegistryArtifacts(servers, signal)
  return Object.assign(artifacts, { [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose]() })
}

export class RegistryArtifacts implements ArtifactSource {
  readonly #servers: RepositoryServers
  readonly #signal: AbortSignal | undefined

  constructor(servers: RepositoryServers, signal?: AbortSignal) {
    this.#servers = servers
    this.#signal = signal
  }

  get name(): string {
    return this.#servers.name
  }

  async referrers(
    subject: Digest,
    artifactType?: string,
    signal?: AbortSignal,
  ): Promise<readonly Descriptor[]> {
    const all = (await this.#fromApi(subject, artifactType, signal)) ?? (await this.#fromTag(subject, signal))
    // The filter is the registry's to apply or not ("OCI-Filters-Applied"), and the fallback tag has none.
    return artifactType === undefined ? all : all.filter((entry) => entry.artifactType === artifactType)
  }

  async manifest(
    key: string,
    signal?: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string } | undefined> {
    const what = `the manifest ${key} of ${this.name}`
    const answer = await this.#ask(isDigest(key) ? 'digest' : 'tag', signal, (connection, both) =>
      getManifest(connection, { key, what, signal: both }),
    )
    if (answer === undefined) return undefined
    const { bytes, digest, mediaType } = answer
    return { bytes, digest, mediaType: mediaType ?? declaredType(bytes) ?? MEDIA_TYPES.ociManifest }
  }

  async blob(descriptor: Descriptor, limitBytes: number, signal?: AbortSignal): Promise<Buffer> {
    const what = `the blob ${descriptor.digest} of ${this.name}`
    if (descriptor.size > limitBytes) {
      throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${limitBytes} bytes`)
    }
    const embedded = embeddedContent(descriptor, what)
    if (embedded !== undefined) return embedded
    return this.#ask('digest', signal, (connection, both) =>
      readBlob(connection, { descriptor, name: this.name, signal: both }),
    )
  }

  async #fromApi(
    subject: Digest,
    artifactType: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Descriptor[] | undefined> {
    const filter = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`
    const what = `what refers to ${subject} in ${this.name}`
    try {
      return await this.#ask('tag', signal, async (connection, both) => {
        const request = {
          path: `referrers/${subject}${filter}`,
          accept: MEDIA_TYPES.ociIndex,
          what,
          signal: both,
        }
        const found: Descriptor[] = []
        for await (const { bytes, response } of readPages(connection, request)) {
          if (response.status !== 200) return undefined
          found.push(...entriesOf(bytes, what))
          if (found.length > LIMITS.referrers) throw tooMany(what)
        }
        return found
      })
    } catch (error) {
      if (
        error instanceof OciError &&
        error.code === 'oci.registry' &&
        HAS_NO_REFERRERS.has(error.data?.status)
      )
        return undefined
      throw error
    }
  }

  /** distribution-spec "Referrers Tag Schema": an index under a tag made of the digest, both parts cut to their limits. */
  async #fromTag(subject: Digest, signal: AbortSignal | undefined): Promise<readonly Descriptor[]> {
    const tag = `${digestAlgorithm(subject).slice(0, 32)}-${digestHex(subject).slice(0, 64)}`
    const found = await this.manifest(tag, signal)
    return found === undefined ? [] : entriesOf(found.bytes, `what refers to ${subject} in ${this.name}`)
  }

  #ask<T>(
    by: 'tag' | 'digest',
    signal: AbortSignal | undefined,
    ask: (connection: RegistryConnection, signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const given = [signal, this.#signal].filter((one) => one !== undefined)
    const both = given.length > 1 ? AbortSignal.any(given) : given[0]
    const question = { by, signal: both, ask: (connection: RegistryConnection) => ask(connection, both) }
    return this.#servers.askRegistry(`read the artifacts of ${this.name}`, question)
  }
}

function entriesOf(bytes: Buffer, what: string): readonly Descriptor[] {
  const document = parseDocument(bytes, undefined, what)
  if (document.kind === 'index') return document.manifests
  throw new OciError('oci.corrupt-image', `Cannot read ${what}: it is a manifest where an index belongs`)
}

function declaredType(bytes: Buffer): string | undefined {
  try {
    const { mediaType } = JSON.parse(bytes.toString('utf8'))
    return typeof mediaType === 'string' ? mediaType : undefined
  } catch {
    // Whoever reads the manifest says what is wrong with it.
    return undefined
  }
}

function tooMany(what: string): OciError {
  return new OciError('oci.limit', `Cannot read ${what}: there is more than ${LIMITS.referrers}`, {
    data: { which: 'referrers' },
  })
}
