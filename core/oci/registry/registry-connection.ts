// Speaks the distribution API (distribution-spec) with one server: finds out whether it is on HTTPS, logs in when asked,
// follows redirects to where blobs are kept, and never takes credentials there.

import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { Authorizer } from './authorizer.ts'
import { parseChallenges } from './challenge.ts'
import { findOrigin, reachOfOrigin } from './find-origin.ts'
import { HttpClient, type HttpResponse } from './http-client.ts'
import { REDIRECTS, redirectTarget } from './redirect-target.ts'
import type { RegistryAccess } from './registry-access.ts'
import { failureOf, readReason } from './registry-failure.ts'
import type { TimeLimits } from './time-limits.ts'
import { pullScope } from './token-scope.ts'

/** A server, and the repository of it that requests are about; undefined for the server as such. */
export interface RegistryTarget {
  /** `host[:port]`. */
  readonly host: string
  readonly repository: string | undefined
}

export interface ConnectionOptions extends Omit<RegistryAccess, 'mirrors'> {
  readonly timeLimits?: TimeLimits | undefined
  readonly signal?: AbortSignal | undefined
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD'
  /** Below `/v2/<repository>/`, with its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
}

/** Statuses that the caller judges: not there, not known, no such range. */
const JUDGED_BY_CALLER: ReadonlySet<number> = new Set([404, 405, 416])
/** One login for each request, and one more where the registry then asks for a wider scope. */
const LOGINS = 2

interface Answer {
  readonly response: HttpResponse
  /** Who answered. */
  readonly url: URL
  readonly isOwn: boolean
}

export class RegistryConnection implements AsyncDisposable {
  readonly #origin: URL
  readonly #repository: string | undefined
  readonly #own: HttpClient
  readonly #foreign: HttpClient
  readonly #authorizer: Authorizer

  private constructor(
    parts: { origin: URL; repository: string | undefined; own: HttpClient; foreign: HttpClient },
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
      scope: parts.repository === undefined ? undefined : pullScope(parts.repository),
      clientFor: (url) => this.#clientFor(url),
    })
  }

  /** Connects to a server. Throws `oci.offline`, `oci.tls`, `oci.bad-proxy`. */
  static async open(target: RegistryTarget, options: ConnectionOptions): Promise<RegistryConnection> {
    const { certificateAuthority, clientCertificate, proxy, timeLimits, plainHttp, signal } = options
    const own = new HttpClient({ certificateAuthority, clientCertificate, proxy, timeLimits })
    try {
      const origin = await findOrigin(target.host, own, { plainHttp, signal })
      const limit = await reachOfOrigin(origin, own)
      const foreign = new HttpClient({ certificateAuthority, proxy, timeLimits, limit })
      return new RegistryConnection({ origin, repository: target.repository, own, foreign }, options)
    } catch (error) {
      await own[Symbol.asyncDispose]()
      throw error
    }
  }

  get host(): string {
    return this.#origin.host
  }

  get login(): Authorizer['login'] {
    return this.#authorizer.login
  }

  /** The error for a login that was not possible. */
  refusal(): OciError {
    return this.#authorizer.refusal()
  }

  /** The URL of a path below `/v2/<repository>/`. */
  urlOf(path: string): URL {
    const base = this.#repository === undefined ? '/v2/' : `/v2/${this.#repository}/`
    return new URL(`${base}${path}`, this.#origin)
  }

  /**
   * Sends one request, logging in when the registry asks for it. Answers with 4xx and 5xx become errors, except 404, 405
   * and 416, which the caller judges. Throws `TransientFailure` for what may pass, and what `Authorizer.answer` and
   * `HttpClient.send` throw.
   */
  async send(request: RegistryRequest): Promise<HttpResponse> {
    let sent = this.#authorizer.header
    for (let logins = 0; ; logins++) {
      const answer = await this.#follow(request, sent)
      if (!wantsLogin(answer)) return judged(answer, this.#authorizer)
      const { response } = answer
      const challenges = parseChallenges(response.headers('www-authenticate'))
      if (logins === LOGINS) throw this.#authorizer.refusal(await readReason(response))
      await response.discard()
      const { signal } = request
      await this.#authorizer.answer({ challenges, refused: sent, isRepeated: logins > 0, signal })
      sent = this.#authorizer.header
    }
  }

  /** Gets a URL outside the registry's API, without credentials, within what the registry may lead to. */
  async sendForeign(
    url: URL,
    { headers = {}, signal }: Pick<RegistryRequest, 'headers' | 'signal'>,
  ): Promise<HttpResponse> {
    const answer = await this.#followFrom(url, { method: 'GET', headers, signal }, undefined)
    return judged(answer, this.#authorizer)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#own[Symbol.asyncDispose]()
    await this.#foreign[Symbol.asyncDispose]()
  }

  #follow(request: RegistryRequest, authorization: string | undefined): Promise<Answer> {
    return this.#followFrom(this.urlOf(request.path), request, authorization)
  }

  async #followFrom(
    start: URL,
    { method, headers = {}, signal }: Omit<RegistryRequest, 'path'>,
    authorization: string | undefined,
  ): Promise<Answer> {
    let url = start
    let proof = authorization
    for (let hops = 0; hops <= LIMITS.redirects; hops++) {
      const isOwn = url.origin === this.#origin.origin
      // Careful: once a redirect has left the registry the header is gone for good, also on a way back.
      if (!isOwn) proof = undefined
      const own = proof === undefined ? {} : { authorization: proof }
      const response = await this.#clientFor(url).send(url, {
        method,
        headers: { ...headers, ...own },
        signal,
      })
      if (!REDIRECTS.has(response.status)) return { response, url, isOwn }
      const location = response.header('location')
      await response.discard()
      url = redirectTarget(location, url, this.host)
    }
    throw new OciError(
      'oci.registry',
      `Cannot read from ${this.host}: it redirects more than ${LIMITS.redirects} times`,
    )
  }

  #clientFor(url: URL): HttpClient {
    return url.origin === this.#origin.origin ? this.#own : this.#foreign
  }
}

/** Only the registry itself may ask for a login; 403 with a scope is RFC 6750 §3.1's form of the question. */
function wantsLogin({ response, isOwn }: Answer): boolean {
  if (!isOwn) return false
  if (response.status === 401) return true
  if (response.status !== 403) return false
  return parseChallenges(response.headers('www-authenticate')).some(
    ({ parameters }) => parameters.error === 'insufficient_scope',
  )
}

async function judged({ response, url, isOwn }: Answer, authorizer: Authorizer): Promise<HttpResponse> {
  if (response.status < 400 || JUDGED_BY_CALLER.has(response.status)) return response
  if (isOwn && response.status === 403) throw authorizer.refusal(await readReason(response))
  throw await failureOf(response, url.host)
}
