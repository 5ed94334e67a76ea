// One repository as a source of images: tags and digests to manifests, digests to blobs, from mirrors where there are any.
// Broken downloads go on where they stopped, also at another server.

import type { Digest } from '../digest.ts'
import { embeddedContent } from '../embedded-content.ts'
import { hasCode, OciError } from '../errors.ts'
import { type Descriptor, parseDocument } from '../manifest.ts'
import { documentKind } from '../media-types.ts'
import type { RateLimit } from '../progress.ts'
import { familiarReference, type ImageReference } from '../reference.ts'
import { Slots } from '../segments/slots.ts'
import type { BlobWriter } from '../store/blob-writer.ts'
import type { BringLayerOptions, ImageSource } from '../transfer.ts'
import type { RetryPolicy } from './backoff.ts'
import { downloadBlob, EXTRA_CONNECTIONS } from './blob-download.ts'
import { type ByteRange, getBlob, readBlob } from './blob-request.ts'
import { BlobTrail } from './blob-trail.ts'
import type { HttpResponse } from './http-client.ts'
import { getManifest, headManifest, type ManifestAnswer } from './manifest-request.ts'
import type { RegistryConnection } from './registry-connection.ts'
import type { RepositoryServers } from './repository-servers.ts'

export interface RegistrySourceOptions {
  readonly servers: RepositoryServers
  readonly reference: ImageReference
  readonly retryPolicy: RetryPolicy
  /** Layers that are kept elsewhere may be fetched from there. */
  readonly allowForeign?: boolean | undefined
}

export class RegistrySource implements ImageSource {
  readonly #options: RegistrySourceOptions
  readonly #name: string
  readonly #documents = new Map<Digest, Buffer>()
  readonly #trails = new Map<Digest, BlobTrail>()
  readonly #extraConnections = new Slots(EXTRA_CONNECTIONS)
  #rateLimit: RateLimit | undefined

  constructor(options: RegistrySourceOptions) {
    this.#options = options
    this.#name = familiarReference(options.reference)
  }

  /** What the registry last said about its limit of pulls. */
  get rateLimit(): RateLimit | undefined {
    return this.#rateLimit
  }

  /** The digest that the reference leads to now, without reading the manifest; undefined where the registry does not say. */
  async peekDigest(signal?: AbortSignal): Promise<Digest | undefined> {
    const { digest, tag = '' } = this.#options.reference
    if (digest !== undefined) return digest
    const ask = async (connection: RegistryConnection) => {
      const answer = await headManifest(connection, { key: tag, signal })
      if (answer === undefined) throw this.#notFound(connection)
      this.#noteRateLimit(connection, answer.rateLimit)
      return answer.digest
    }
    try {
      return await this.#options.servers.askPatiently(this.#action, { by: 'tag', signal, ask })
    } catch (error) {
      // A server that cannot answer HEAD says nothing by it; GET then says what is wrong.
      if (hasCode(error, 'oci.registry') || hasCode(error, 'oci.not-found')) return undefined
      throw error
    }
  }

  /**
   * Reads the manifest or index at a digest, or where the tag leads to. Its digest is that of the bytes that came.
   * Throws `oci.not-found`, `oci.digest-mismatch`.
   */
  async resolve(digest: Digest | undefined, signal?: AbortSignal): Promise<Descriptor> {
    const key = digest ?? this.#options.reference.tag ?? ''
    const { mediaType, ...answer } = await this.#readManifest(key, digest, signal)
    this.#documents.set(answer.digest, answer.bytes)
    const document = parseDocument(answer.bytes, mediaType, this.#name)
    return { mediaType: document.mediaType, digest: answer.digest, size: answer.bytes.length }
  }

  async readDocument(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<Buffer> {
    const { digest, mediaType } = descriptor
    const known = this.#documents.get(digest)
    if (known !== undefined) return known
    if (documentKind(mediaType) !== undefined) return (await this.#readManifest(digest, digest, signal)).bytes
    const ask = (connection: RegistryConnection) =>
      readBlob(connection, { descriptor, name: this.#name, signal })
    return this.#options.servers.askPatiently(this.#action, { by: 'digest', signal, ask })
  }

  async bringLayer(
    descriptor: Descriptor,
    what: string,
    { blobs, signal, onProgress }: BringLayerOptions,
  ): Promise<void> {
    const embedded = embeddedContent(descriptor, what)
    if (embedded !== undefined) {
      await blobs.put(embedded, what, descriptor.digest)
      return
    }
    const fill = async (writer: BlobWriter, flight: AbortSignal, attempt: number) => {
      // Others may wait for this download when the pull that began it has been given up.
      await using _open = this.#options.servers.use()
      await this.#fill(descriptor, writer, attempt, flight)
    }
    await blobs.ingest(what, descriptor, fill, { signal, onProgress })
  }

  /**
   * Asks once for a blob, or for a part of it. The answer is 200, 206 or 416 and has to be judged: servers ignore ranges,
   * or send others than those asked for. Throws `oci.not-found`, and `TransientFailure` for what may pass.
   */
  async requestBlob(
    descriptor: Descriptor,
    range: ByteRange | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const { servers, allowForeign } = this.#options
    const trail = this.#trailOf(descriptor)
    const ask = async (connection: RegistryConnection) => {
      const request = { descriptor, name: this.#name, allowForeign, signal, range: trail.rangeFor(range) }
      return trail.take(await getBlob(connection, request), servers.mirrorOf(connection))
    }
    return servers.askOnce({ by: 'digest', signal, ask })
  }

  /** `attempt` is 2 when what came first hashed to something else. */
  async #fill(
    descriptor: Descriptor,
    writer: BlobWriter,
    attempt: number,
    signal: AbortSignal,
  ): Promise<void> {
    const trail = this.#trailOf(descriptor)
    if (attempt > 1) this.#learnFrom(trail, new Error('its bytes are not what their digest says'))
    for (;;) {
      try {
        return await this.#download(descriptor, writer, signal)
      } catch (error) {
        if (signal.aborted || !isAboutTheBytes(error) || !this.#learnFrom(trail, error)) throw error
        if (hasCode(error, 'oci.size-mismatch')) await writer.restart()
      }
    }
  }

  /** Does without the mirrors that a blob came from, or decodes it the next time; false when neither is left to try. */
  #learnFrom(trail: BlobTrail, error: unknown): boolean {
    const mirrors = trail.forgetMirrors().map((host) => this.#options.servers.passOver(host, error))
    return mirrors.includes(true) || trail.startDecoding()
  }

  async #download(descriptor: Descriptor, writer: BlobWriter, signal: AbortSignal): Promise<void> {
    await downloadBlob(writer, {
      blob: descriptor,
      request: (range, partSignal) => this.requestBlob(descriptor, range, partSignal),
      host: this.#options.servers.registryHost,
      action: this.#action,
      policy: this.#options.retryPolicy,
      extraConnections: this.#extraConnections,
      signal,
    })
  }

  #trailOf({ digest, size }: Descriptor): BlobTrail {
    const trail = this.#trails.get(digest) ?? new BlobTrail(size)
    this.#trails.set(digest, trail)
    return trail
  }

  async #readManifest(
    key: string,
    digest: Digest | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ManifestAnswer> {
    const what = `the manifest of ${this.#name}`
    const ask = async (connection: RegistryConnection) => {
      const answer = await getManifest(connection, { key, what, signal })
      if (answer === undefined) throw this.#notFound(connection)
      this.#noteRateLimit(connection, answer.rateLimit)
      // What no digest proves has at least to be a manifest, else a mirror's page for people would end the pull.
      if (digest === undefined) parseDocument(answer.bytes, answer.mediaType, this.#name)
      return answer
    }
    const by = digest === undefined ? 'tag' : 'digest'
    return this.#options.servers.askPatiently(this.#action, { by, signal, ask })
  }

  #noteRateLimit(connection: RegistryConnection, rateLimit: RateLimit | undefined): void {
    if (rateLimit !== undefined && this.#options.servers.mirrorOf(connection) === undefined)
      this.#rateLimit = rateLimit
  }

  #notFound({ host }: RegistryConnection): OciError {
    return new OciError('oci.not-found', `There is no image "${this.#name}" on ${host}`, {
      hint: 'Check its name and tag.',
      data: { where: host },
    })
  }

  get #action(): string {
    return `pull ${this.#name}`
  }
}

/** Whether a download failed for what a server sent or did not send. */
function isAboutTheBytes(error: unknown): boolean {
  const codes = ['oci.size-mismatch', 'oci.offline', 'oci.registry', 'oci.rate-limited']
  return codes.some((code) => hasCode(error, code))
}
