// One HTTP request at a time, with undici: no cookies, no decoding of bodies (a blob's digest is that of the bytes on the
// wire), redirects only as far as the caller lets them. System errors become errors that people understand.

import { getCACertificates } from 'node:tls'
import { Agent, request } from 'undici'
import { cancelled, OciError } from '../errors.ts'
import { guardedLookup, type Reach, requireReach } from './address-policy.ts'
import { TransientFailure } from './backoff.ts'

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

const CONNECT_TIMEOUT_MS = 15_000
/** How long a server may think, and how long a body may stand still. */
const SILENCE_TIMEOUT_MS = 60_000
const CONNECTIONS_PER_HOST = 8

export class HttpClient implements AsyncDisposable {
  readonly #agent: Agent
  readonly #limit: Reach | undefined

  /**
   * `certificateAuthority` is PEM text, trusted beside the system's. With `limit`, hosts closer to this machine than that
   * are refused.
   */
  constructor({
    certificateAuthority,
    limit,
  }: { certificateAuthority?: string | undefined; limit?: Reach | undefined }) {
    this.#limit = limit
    this.#agent = new Agent({
      connections: CONNECTIONS_PER_HOST,
      headersTimeout: SILENCE_TIMEOUT_MS,
      bodyTimeout: SILENCE_TIMEOUT_MS,
      allowH2: false,
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        ca: trustedCertificates(certificateAuthority),
        ...(limit === undefined ? {} : { lookup: guardedLookup(limit) }),
      },
    })
  }

  /** Sends one request. Throws `TransientFailure`, `oci.offline`, `oci.tls`, `oci.address-not-allowed`, `oci.cancelled`. */
  async send(url: URL, { method, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
    if (this.#limit !== undefined) requireReach(url, this.#limit)
    try {
      const response = await request(url, {
        dispatcher: this.#agent,
        method,
        headers: { 'user-agent': 'bulkhead', 'accept-encoding': 'identity', ...headers },
        body: body ?? null,
        signal: signal ?? null,
      })
      return {
        status: response.statusCode,
        header: (name) => joined(response.headers[name]),
        headers: (name) => [response.headers[name] ?? []].flat(),
        body: translated(response.body, url, signal),
        discard: () => response.body.dump(),
      }
    } catch (error) {
      throw translate(error, url, signal)
    }
  }

  /** Ends all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy()
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
  url: URL,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, void> {
  try {
    yield* body
  } catch (error) {
    throw translate(error, url, signal)
  }
}

/** Failures to reach the host at all; trying again at once seldom helps. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is not known',
  EAI_AGAIN: 'no name server answers',
  ECONNREFUSED: 'nothing listens there',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no network',
  ETIMEDOUT: 'it does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
}

/** Connections that broke while in use. */
const BROKEN: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_ABORTED',
])

/** Certificate errors of OpenSSL as Node names them (node:tls "X509 certificate error codes"), and protocol errors. */
const TLS_CODE =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|EPROTO$|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|CRL_)/

function translate(error: unknown, url: URL, signal: AbortSignal | undefined): unknown {
  if (error instanceof OciError || error instanceof TransientFailure) return error
  if (signal?.aborted === true) return cancelled(`reach ${url.host}`, error)
  const code = systemCode(error)
  const unreachable = UNREACHABLE[code]
  if (unreachable !== undefined) {
    const failure = new OciError('oci.offline', `Cannot reach ${url.host}: ${unreachable}`, {
      cause: error,
      data: { code },
    })
    return code === 'EAI_AGAIN' || code === 'ETIMEDOUT' ? new TransientFailure(failure) : failure
  }
  if (TLS_CODE.test(code)) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : code
    return new OciError('oci.tls', `Cannot reach ${url.host} securely: ${reason}`, {
      hint: isProtocolError(code)
        ? 'The registry seems to speak plain HTTP; allow it explicitly if that is what you want.'
        : 'Give the certificate of the authority that signed for this registry.',
      cause: error,
      data: { code },
    })
  }
  const failure = new OciError('oci.offline', `Cannot reach ${url.host}: the connection broke`, {
    cause: error,
    data: { code },
  })
  return BROKEN.has(code) ? new TransientFailure(failure) : failure
}

/** Whether the other side did not speak TLS at all. */
export function isProtocolError(code: unknown): boolean {
  return typeof code === 'string' && (code === 'EPROTO' || code.startsWith('ERR_SSL_'))
}

function systemCode(error: unknown): string {
  // happy eyeballs: every address failed, each with an error of its own
  const first = error instanceof AggregateError ? error.errors[0] : error
  const code = typeof first === 'object' && first !== null && 'code' in first ? first.code : undefined
  return typeof code === 'string' ? code : ''
}

function joined(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(', ') : value
}

let systemCertificates: readonly string[] | undefined

/** Node's own list, the system's, and one more. */
function trustedCertificates(extra: string | undefined): string[] {
  systemCertificates ??= [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
  return extra === undefined ? [...systemCertificates] : [...systemCertificates, extra]
}
