// One HTTP request at a time, with undici: no cookies, no decoding of bodies (a blob's digest is that of the bytes on the
// wire), redirects only as far as the caller lets them, through a proxy where the settings say so.

import { createSecureContext, getCACertificates, type SecureContextOptions } from 'node:tls'
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici'
import { hasCode, OciError } from '../errors.ts'
import { guardedLookup, type Reach, requireReach } from './address-policy.ts'
import { fromHttpError } from './http-errors.ts'
import { ProxyRules } from './proxy-rules.ts'
import type { EndpointAccess, ProxySettings } from './registry-access.ts'
import { atPace, DEFAULT_TIME_LIMITS, type TimeLimits } from './time-limits.ts'
import { listenForAlert } from './tls-alert.ts'

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  readonly signal?: AbortSignal | undefined
}

export interface HttpResponse {
  readonly status: number
  /** One value of a header; several are joined by ", ". */
  header(name: string): string | undefined
  /** All values of a header. */
  headers(name: string): readonly string[]
  /** The raw bytes. They have to be read or `discard`ed, else the connection is not used again. */
  readonly body: AsyncIterable<Buffer>
  discard(): Promise<void>
}

export interface HttpClientOptions
  extends Pick<EndpointAccess, 'certificateAuthority' | 'clientCertificate'> {
  readonly proxy?: ProxySettings | undefined
  /** Hosts closer to this machine than that are refused. */
  readonly limit?: Reach | undefined
  readonly timeLimits?: TimeLimits | undefined
}

const CONNECTIONS_PER_HOST = 8
/** What is read of a body that nobody wants, to keep its connection. */
const DISCARD_BYTES = 64 * 1024
const DISCARD_MS = 2_000

export class HttpClient implements AsyncDisposable {
  readonly #direct: Agent
  readonly #proxies = new Map<string, ProxyAgent>()
  readonly #rules: ProxyRules
  readonly #tls: TlsOptions
  readonly #limit: Reach | undefined
  readonly #timeLimits: TimeLimits

  /** Throws `oci.bad-proxy`, `oci.tls` for a client certificate that is none. */
  constructor({ proxy, limit, timeLimits = DEFAULT_TIME_LIMITS, ...trust }: HttpClientOptions) {
    this.#limit = limit
    this.#timeLimits = timeLimits
    this.#rules = new ProxyRules(proxy)
    this.#tls = tlsOptions(trust)
    this.#direct = new Agent({
      connections: CONNECTIONS_PER_HOST,
      allowH2: false,
      connect: {
        timeout: timeLimits.connectMs,
        ...this.#tls,
        ...(limit === undefined ? {} : { lookup: guardedLookup(limit) }),
      },
    })
  }

  /** The proxy that requests to this URL go through. */
  proxyFor(url: URL): URL | undefined {
    return this.#rules.proxyFor(url)
  }

  /** Sends one request. Throws `TransientFailure`, `oci.offline`, `oci.tls`, `oci.address-not-allowed`, `oci.cancelled`. */
  async send(url: URL, { method, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
    // Careful: behind a proxy this is all that is checked. The proxy looks names up by itself, so a name that leads into
    // its network cannot be seen from here; keeping clients away from there is then the proxy's business.
    if (this.#limit !== undefined) requireReach(url, this.#limit)
    const proxy = this.#rules.proxyFor(url)
    const toError = (error: unknown) => fromHttpError(error, { url, proxy, signal })
    try {
      const response = await request(url, {
        dispatcher: proxy === undefined ? this.#direct : this.#through(proxy),
        method,
        headers: { 'user-agent': 'bulkhead', 'accept-encoding': 'identity', ...headers },
        body: body ?? null,
        signal: signal ?? null,
        headersTimeout: this.#timeLimits.silenceMs,
        bodyTimeout: this.#timeLimits.silenceMs,
      })
      return {
        status: response.statusCode,
        header: (name) => joined(response.headers[name]),
        headers: (name) => [response.headers[name] ?? []].flat(),
        body: translated(atPace(response.body, this.#timeLimits, url.host), toError),
        discard: () => discard(response.body),
      }
    } catch (error) {
      throw toError((await this.#alertBehind(error, url, proxy)) ?? error)
    }
  }

  /** Ends all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#direct, ...this.#proxies.values()].map((dispatcher) => dispatcher.destroy()))
  }

  /** Why a server hung up before it answered, if it said so in TLS. */
  async #alertBehind(error: unknown, url: URL, proxy: URL | undefined): Promise<Error | undefined> {
    if (url.protocol !== 'https:' || proxy !== undefined || !hasCode(error, 'UND_ERR_SOCKET'))
      return undefined
    const lookup = this.#limit === undefined ? undefined : guardedLookup(this.#limit)
    return listenForAlert(url, { ...this.#tls, ...(lookup === undefined ? {} : { lookup }) })
  }

  /** HTTPS goes through a tunnel (CONNECT), plain HTTP is forwarded (RFC 9112 §3.2.2 absolute-form). */
  #through(proxy: URL): ProxyAgent {
    const known = this.#proxies.get(proxy.href)
    if (known !== undefined) return known
    const agent = new ProxyAgent({
      uri: proxy.href,
      connections: CONNECTIONS_PER_HOST,
      allowH2: false,
      connectTimeout: this.#timeLimits.connectMs,
      requestTls: this.#tls,
      // The client certificate is the registry's business, not the proxy's.
      proxyTls: { ca: this.#tls.ca },
    })
    this.#proxies.set(proxy.href, agent)
    return agent
  }
}

/** Reads a whole body of limited size. Throws `oci.limit`. */
export async function readBody(response: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response.body) {
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes)
      throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${limitBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

async function* translated(
  body: AsyncIterable<Buffer>,
  toError: (error: unknown) => unknown,
): AsyncGenerator<Buffer, void, void> {
  try {
    yield* body
  } catch (error) {
    throw toError(error)
  }
}

async function discard(body: Dispatcher.ResponseData['body']): Promise<void> {
  try {
    await body.dump({ limit: DISCARD_BYTES, signal: AbortSignal.timeout(DISCARD_MS) })
  } catch {
    // Nobody wants it: a body that breaks or does not end costs the connection and nothing else.
  }
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}

interface TlsOptions {
  readonly ca: string[]
  readonly cert?: string
  readonly key?: string
}

function tlsOptions({
  certificateAuthority,
  clientCertificate,
}: Pick<HttpClientOptions, 'certificateAuthority' | 'clientCertificate'>): TlsOptions {
  if (certificateAuthority !== undefined)
    requireUsable({ ca: certificateAuthority }, 'the certificate of the authority: it is not PEM text')
  const ca = trustedCertificates(certificateAuthority)
  if (clientCertificate === undefined) return { ca }
  const { certificate: cert, key } = clientCertificate
  requireUsable(
    { cert, key },
    'the client certificate: it and its key are not PEM text that belongs together',
  )
  return { ca, cert, key }
}

function requireUsable(options: SecureContextOptions, complaint: string): void {
  try {
    createSecureContext(options)
  } catch (cause) {
    throw new OciError('oci.tls', `Cannot use ${complaint}`, { cause })
  }
}

let systemCertificates: readonly string[] | undefined

/** Node's own list, the system's, and one more. */
function trustedCertificates(extra: string | undefined): string[] {
  systemCertificates ??= [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
  return extra === undefined ? [...systemCertificates] : [...systemCertificates, extra]
}
