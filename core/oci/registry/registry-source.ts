// One repository of a registry as a source of images: tags and digests to manifests, digests to blobs. Broken downloads
// go on where they stopped.

import { type Digest, digestAlgorithm, digestOf, isDigest, requireSameDigest } from '../digest.ts'
import { hasCode, OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type Descriptor, parseDocument } from '../manifest.ts'
import { ACCEPTED_MANIFESTS, documentKind } from '../media-types.ts'
import { familiarReference, type ImageReference } from '../reference.ts'
import type { BlobWriter } from '../store/blob-writer.ts'
import type { BringLayerOptions, ImageSource } from '../transfer.ts'
import { type RetryPolicy, retrying, TransientFailure } from './backoff.ts'
import { type HttpResponse, readBody } from './http-client.ts'
import type { RegistryConnection } from './registry-connection.ts'

/** A try that brought this much was worth it: the count of tries starts again (containers/image does the same). */
const PROGRESS_BYTES = 1024 * 1024

/** A part of a blob: offsets of its first and, unless it goes to the end, its last byte (RFC 9110 §14.1.2). */
export interface ByteRange {
  readonly start: number
  readonly end?: number | undefined
}

export class RegistrySource implements ImageSource {
  readonly #connection: RegistryConnection
  readonly #reference: ImageReference
  readonly #retryPolicy: RetryPolicy
  readonly #documents = new Map<Digest, Buffer>()

  constructor(connection: RegistryConnection, reference: ImageReference, retryPolicy: RetryPolicy) {
    this.#connection = connection
    this.#reference = reference
    this.#retryPolicy = retryPolicy
  }

  /**
   * The digest that the reference leads to now, without reading the manifest (registries do not count HEAD against a
   * limit of pulls); undefined where the registry does not say.
   */
  async peekDigest(signal?: AbortSignal): Promise<Digest | undefined> {
    if (this.#reference.digest !== undefined) return this.#reference.digest
    try {
      return await this.#retrying(signal, () => this.#headDigest(signal))
    } catch (error) {
      // A server that cannot answer HEAD says nothing by it; GET then says what is wrong.
      if (hasCode(error, 'oci.registry')) return undefined
      throw error
    }
  }

  /**
   * Reads the manifest or index at a digest, or where the tag leads to. Its digest is that of the bytes that came.
   * Throws `oci.not-found`, `oci.digest-mismatch`.
   */
  async resolve(digest: Digest | undefined, signal?: AbortSignal): Promise<Descriptor> {
    const { bytes, response } = await this.#readManifest(digest ?? this.#reference.tag ?? '', signal)
    const name = familiarReference(this.#reference)
    const announced = response.header('docker-content-digest')
    const algorithm = digestAlgorithm(
      digest ?? (announced !== undefined && isDigest(announced) ? announced : FALLBACK),
    )
    const actual = digestOf(bytes, algorithm)
    if (digest !== undefined) requireSameDigest(`the manifest of ${name}`, digest, actual)
    else if (announced !== undefined && isDigest(announced))
      requireSameDigest(`the manifest of ${name}`, announced, actual)
    this.#documents.set(actual, bytes)
    const { mediaType } = parseDocument(bytes, contentType(response), name)
    return { mediaType, digest: actual, size: bytes.length }
  }

  async readDocument(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<Buffer> {
    const known = this.#documents.get(descriptor.digest)
    if (known !== undefined) return known
    if (documentKind(descriptor.mediaType) !== undefined)
      return (await this.#readManifest(descriptor.digest, signal)).bytes
    return this.#retrying(signal, async () => {
      const response = await this.requestBlob(descriptor, undefined, signal)
      return readBody(response, Math.min(descriptor.size, LIMITS.configBytes), descriptor.digest)
    })
  }

  async bringLayer(
    descriptor: Descriptor,
    what: string,
    { blobs, signal, onProgress }: BringLayerOptions,
  ): Promise<void> {
    const fill = (writer: BlobWriter, flight: AbortSignal) => this.#fill(descriptor, writer, flight)
    await blobs.ingest(what, descriptor, fill, { signal, onProgress })
  }

  async #fill(descriptor: Descriptor, writer: BlobWriter, signal: AbortSignal): Promise<void> {
    let bytesAtLastFailure = 0
    const hasProgressed = () => {
      const gained = writer.sizeBytes - bytesAtLastFailure
      bytesAtLastFailure = writer.sizeBytes
      return gained >= PROGRESS_BYTES
    }
    await this.#retrying(signal, () => this.#download(descriptor, writer, signal), hasProgressed)
  }

  async #download(descriptor: Descriptor, writer: BlobWriter, signal: AbortSignal): Promise<void> {
    const offset = writer.sizeBytes
    const response = await this.requestBlob(descriptor, offset === 0 ? undefined : { start: offset }, signal)
    const continues = response.status === 206 && startsAt(response, offset)
    // A server without ranges sends everything again; one that sends another part than asked for is not believed.
    if (offset > 0 && !continues) await writer.restart()
    if (response.status === 416 || (response.status === 206 && !continues)) {
      await response.discard()
      throw new TransientFailure(
        new OciError(
          'oci.registry',
          `Cannot read ${writer.what}: ${this.#connection.host} sent another part than asked for`,
        ),
      )
    }
    for await (const chunk of response.body) await writer.write(chunk)
    if (writer.sizeBytes < descriptor.size) {
      const message = `Cannot read ${writer.what}: it ended after ${writer.sizeBytes} of ${descriptor.size} bytes`
      throw new TransientFailure(new OciError('oci.size-mismatch', message))
    }
  }

  /**
   * Asks once for a blob, or for a part of it. The answer is 200, 206 or 416 and has to be judged: servers ignore ranges,
   * or send others than those asked for. Throws `oci.not-found`, and `TransientFailure` for what may pass.
   */
  async requestBlob(
    { digest }: Descriptor,
    range: ByteRange | undefined,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end ?? ''}` }
    const response = await this.#connection.send({ method: 'GET', path: `blobs/${digest}`, headers, signal })
    if (response.status === 404 || response.status === 405) {
      await response.discard()
      throw new OciError(
        'oci.not-found',
        `Cannot read ${familiarReference(this.#reference)}: ${this.#connection.host} does not have its blob ${digest}`,
        {
          data: { where: this.#connection.host },
        },
      )
    }
    return response
  }

  async #readManifest(
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: Buffer; response: HttpResponse }> {
    return this.#retrying(signal, async () => {
      const response = await this.#manifestRequest('GET', key, signal)
      if (response.status !== 200) {
        await response.discard()
        throw new OciError(
          'oci.not-found',
          `There is no image "${familiarReference(this.#reference)}" on ${this.#connection.host}`,
          {
            hint: 'Check its name and tag.',
            data: { where: this.#connection.host },
          },
        )
      }
      const bytes = await readBody(
        response,
        LIMITS.manifestBytes,
        `the manifest of ${familiarReference(this.#reference)}`,
      )
      return { bytes, response }
    })
  }

  async #headDigest(signal: AbortSignal | undefined): Promise<Digest | undefined> {
    const response = await this.#manifestRequest('HEAD', this.#reference.tag ?? '', signal)
    await response.discard()
    const digest = response.header('docker-content-digest')
    return response.status === 200 && digest !== undefined && isDigest(digest) ? digest : undefined
  }

  #manifestRequest(
    method: 'GET' | 'HEAD',
    key: string,
    signal: AbortSignal | undefined,
  ): Promise<HttpResponse> {
    return this.#connection.send({
      method,
      path: `manifests/${key}`,
      headers: { accept: ACCEPTED_MANIFESTS },
      signal,
    })
  }

  #retrying<T>(
    signal: AbortSignal | undefined,
    attempt: () => Promise<T>,
    hasProgressed?: () => boolean,
  ): Promise<T> {
    const action = `pull ${familiarReference(this.#reference)}`
    return retrying(attempt, { policy: this.#retryPolicy, signal, action, hasProgressed })
  }
}

/** Stands for "sha256" where the registry does not say how it counts. */
const FALLBACK = digestOf(new Uint8Array())

/** Content-Range (RFC 9110 §14.4) of the part that was asked for. */
function startsAt(response: HttpResponse, offset: number): boolean {
  return response.header('content-range')?.startsWith(`bytes ${offset}-`) === true
}

/** The media type without parameters; undefined for types that say nothing. */
function contentType(response: HttpResponse): string | undefined {
  const type = response.header('content-type')?.split(';')[0]?.trim().toLowerCase()
  const saysNothing = ['', 'application/json', 'application/octet-stream', 'text/plain']
  return type === undefined || saysNothing.includes(type) ? undefined : type
}
