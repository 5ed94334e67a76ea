// Speaks the distribution API (distribution-spec) with one registry: finds out whether it is on HTTPS, logs in when
// asked, follows redirects to where blobs are kept, and never takes credentials there.

import { hasCode, OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type ImageReference, registryEndpoint } from '../reference.ts'
import { isLoopbackHost, type Reach, reachOfHost } from './address-policy.ts'
import { Authorizer, type Credentials } from './authorizer.ts'
import { isTransientStatus, parseRetryAfter, TransientFailure } from './backoff.ts'
import { parseChallenges } from './challenge.ts'
import { HttpClient, type HttpResponse, isProtocolError, readBody } from './http-client.ts'

export interface ConnectionOptions {
  /** Plain HTTP is allowed though the registry is not on this machine. */
  readonly plainHttp?: boolean | undefined
  /** PEM text of a certificate authority to trust beside the system's. */
  readonly certificateAuthority?: string | undefined
  readonly credentials?: Credentials | undefined
  /** Hosts of token servers that may see the credentials though they are not the registry's. */
  readonly trustedRealms?: readonly string[] | undefined
  readonly signal?: AbortSignal | undefined
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD'
  /** Below `/v2/<repository>/`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

export class RegistryConnection implements AsyncDisposable {
  readonly #origin: URL
  readonly #repository: string
  readonly #own: HttpClient
  readonly #foreign: HttpClient
  readonly #authorizer: Authorizer

  private constructor(
    parts: { origin: URL; repository: string; own: HttpClient; foreign: HttpClient },
    options: ConnectionOptions,
  ) {
    this.#origin = parts.origin
    this.#repository = parts.repository
    this.#own = parts.own
    this.#foreign = parts.foreign
    this.#authorizer = new Authorizer({
      registry: parts.origin,
      credentials: options.credentials,
      trustedHosts: options.trustedRealms ?? [],
      clientFor: (url) => this.#clientFor(url),
    })
  }

  /** Connects to the registry of a reference. Throws `oci.offline`, `oci.tls`. */
  static async open(reference: ImageReference, options: ConnectionOptions): Promise<RegistryConnection> {
    const { certificateAuthority } = options
    const own = new HttpClient({ certificateAuthority })
    try {
      const origin = await findOrigin(registryEndpoint(reference.registry), own, options)
      const foreign = new HttpClient({ certificateAuthority, limit: await reachOf(origin) })
      return new RegistryConnection({ origin, repository: reference.repository, own, foreign }, options)
    } catch (error) {
      await own[Symbol.asyncDispose]()
      throw error
    }
  }

  get host(): string {
    return this.#origin.host
  }

  /**
   * Sends one request about the repository, logging in when the registry asks for it. Answers with 4xx and 5xx that do
   * not pass become errors, except 404, 405 and 416, which the caller judges.
   */
  async send(request: RegistryRequest): Promise<HttpResponse> {
    const sent = this.#authorizer.header
    let response = await this.#follow(request, sent)
    if (response.status === 401) {
      const challenges = parseChallenges(response.headers('www-authenticate'))
      await response.discard()
      await this.#authorizer.answer(challenges, `repository:${this.#repository}:pull`, sent, request.signal)
      response = await this.#follow(request, this.#authorizer.header)
    }
    if (response.status < 400 || [404, 405, 416].includes(response.status)) return response
    throw await this.#failure(response)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own[Symbol.asyncDispose]()
    await this.#foreign[Symbol.asyncDispose]()
  }

  async #follow(
    { method, path, headers = {}, signal }: RegistryRequest,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    let url = new URL(`/v2/${this.#repository}/${path}`, this.#origin)
    for (let hops = 0; hops <= LIMITS.redirects; hops++) {
      // Careful: once a redirect has left the registry the header is gone for good, also on a way back.
      const isOwn = hops === 0 || url.origin === this.#origin.origin
      const own = isOwn && authorization !== undefined ? { authorization } : undefined
      if (!isOwn) authorization = undefined
      const response = await this.#clientFor(url).send(url, {
        method,
        headers: { ...headers, ...own },
        signal,
      })
      if (!REDIRECTS.has(response.status)) return response
      const location = response.header('location')
      await response.discard()
      url = this.#redirectTarget(location, url)
    }
    throw new OciError(
      'oci.registry',
      `Cannot read from ${this.host}: it redirects more than ${LIMITS.redirects} times`,
    )
  }

  #redirectTarget(location: string | undefined, from: URL): URL {
    const target = location === undefined ? null : URL.parse(location, from.href)
    const isPlain = target?.protocol === 'http:'
    if (
      target === null ||
      (target.protocol !== 'https:' && !isPlain) ||
      target.username !== '' ||
      target.password !== ''
    ) {
      throw new OciError(
        'oci.registry',
        `Cannot read from ${this.host}: it redirects to ${JSON.stringify(location ?? '')}`,
      )
    }
    if (isPlain && from.protocol === 'https:') {
      throw new OciError(
        'oci.registry',
        `Cannot read from ${this.host}: it redirects to ${target.host} without encryption`,
      )
    }
    return target
  }

  #clientFor(url: URL): HttpClient {
    return url.origin === this.#origin.origin ? this.#own : this.#foreign
  }

  async #failure(response: HttpResponse): Promise<Error> {
    if (response.status === 401 || response.status === 403) {
      await response.discard()
      return this.#authorizer.refusal()
    }
    const reason = await readReason(response)
    if (!isTransientStatus(response.status)) {
      return new OciError(
        'oci.registry',
        `Cannot read from ${this.host}: it answered ${response.status}${reason}`,
      )
    }
    const retryAfterMs = parseRetryAfter(response.header('retry-after'), Date.now())
    if (response.status !== 429) {
      const error = new OciError(
        'oci.registry',
        `Cannot read from ${this.host}: it answered ${response.status}${reason}`,
      )
      return new TransientFailure(error, retryAfterMs)
    }
    const retryAt = retryAfterMs === undefined ? undefined : new Date(Date.now() + retryAfterMs).toISOString()
    const error = new OciError(
      'oci.rate-limited',
      `Cannot read from ${this.host}: it has had too many requests from here`,
      {
        hint:
          retryAt === undefined
            ? 'Try again later, or log in: many registries allow more then.'
            : `Try again after ${retryAt}.`,
        data: { ...(retryAt === undefined ? {} : { retryAt }) },
      },
    )
    return new TransientFailure(error, retryAfterMs)
  }
}

/**
 * Where the registry answers. On this machine, or where plain HTTP was allowed, a server that does not speak TLS is used
 * without it; a certificate that is not good is an error everywhere.
 */
async function findOrigin(endpoint: string, client: HttpClient, options: ConnectionOptions): Promise<URL> {
  const secure = new URL(`https://${endpoint}`)
  const mayBePlain = options.plainHttp === true || isLoopbackHost(secure.hostname)
  if (!mayBePlain) return secure
  try {
    const response = await client.send(new URL('/v2/', secure), {
      method: 'GET',
      headers: {},
      signal: options.signal,
    })
    await response.discard()
    return secure
  } catch (error) {
    if (speaksNoTls(error)) return new URL(`http://${endpoint}`)
    throw error instanceof TransientFailure ? error.error : error
  }
}

/** Servers without TLS answer a handshake with text, hang up, or (on port 443) are not there at all. */
function speaksNoTls(error: unknown): boolean {
  if (error instanceof TransientFailure) return true
  if (!(error instanceof OciError)) return false
  if (hasCode(error, 'oci.tls')) return isProtocolError(error.data?.code)
  return hasCode(error, 'oci.offline') && error.data?.code !== 'ENOTFOUND'
}

async function reachOf(origin: URL): Promise<Reach> {
  try {
    return await reachOfHost(origin.hostname)
  } catch (cause) {
    throw new OciError('oci.offline', `Cannot reach ${origin.host}: its name is not known`, { cause })
  }
}

/** What the registry says about an error (distribution-spec "Error Codes"), as the end of a sentence. */
async function readReason(response: HttpResponse): Promise<string> {
  try {
    const body: unknown = JSON.parse(
      (await readBody(response, LIMITS.errorBodyBytes, 'the error')).toString('utf8'),
    )
    if (typeof body !== 'object' || body === null || !('errors' in body) || !Array.isArray(body.errors))
      return ''
    const [first]: unknown[] = body.errors
    if (typeof first !== 'object' || first === null || !('message' in first)) return ''
    return ` (${String(first.message).slice(0, 200)})`
  } catch (error) {
    // The body only explains; without a readable one the status has to do.
    if (error instanceof SyntaxError || error instanceof OciError || error instanceof TransientFailure)
      return ''
    throw error
  }
}
