// What undici, OpenSSL and the system say when a request fails, as errors that people understand: whose fault it is, and
// whether it may pass.

import { cancelled, OciError } from '../errors.ts'
import { TransientFailure } from './backoff.ts'

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

/** Of those, what may be over in a moment. */
const PASSING: ReadonlySet<string> = new Set(['EAI_AGAIN', 'ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'])

/** Connections that broke while in use, and servers that fell silent. */
const BROKEN: Readonly<Record<string, string>> = {
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  UND_ERR_ABORTED: 'the connection broke',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the connection broke',
  UND_ERR_HEADERS_TIMEOUT: 'it has been silent for too long',
  UND_ERR_BODY_TIMEOUT: 'it has been silent for too long',
}

/** Answers that are no HTTP, or too much of it. */
const NOT_HTTP = /^(?:HPE_|UND_ERR_HEADERS_OVERFLOW$|UND_ERR_RESPONSE_EXCEEDED_SIZE$)/

/** Certificate errors of OpenSSL as Node names them (node:tls "X509 certificate error codes"), and protocol errors. */
const TLS_CODE =
  /^(?:CERT_|ERR_TLS_|ERR_SSL_|EPROTO$|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|CRL_)/

/** The alerts for "show a (better) certificate" (RFC 8446 §6.2 certificate_required; Go's TLS 1.2: bad_certificate). */
const WANTS_CERTIFICATE = /_ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE)$/

export interface FailedRequest {
  readonly url: URL
  /** The proxy that it went through. */
  readonly proxy: URL | undefined
  readonly signal: AbortSignal | undefined
}

/** The error to throw for one that a request ended with; errors of ours stay as they are. */
export function fromHttpError(error: unknown, { url, proxy, signal }: FailedRequest): unknown {
  if (error instanceof OciError || error instanceof TransientFailure) return error
  if (signal?.aborted === true) return cancelled(`reach ${url.host}`, error)
  const code = systemCode(error)
  const text = error instanceof Error ? error.message : String(error)
  const refusal = proxy === undefined ? undefined : proxyRefusal(text)
  if (proxy !== undefined && refusal !== undefined) return refusedByProxy(url, proxy, refusal)
  const where = proxy === undefined ? url.host : `${url.host} through the proxy ${proxy.host}`
  const offline = (reason: string) =>
    new OciError('oci.offline', `Cannot reach ${where}: ${reason}`, { cause: error, data: { code } })
  const unreachable = UNREACHABLE[code]
  if (unreachable !== undefined) {
    return PASSING.has(code) ? new TransientFailure(offline(unreachable)) : offline(unreachable)
  }
  if (TLS_CODE.test(code)) return tlsError(where, code, text, error)
  if (NOT_HTTP.test(code) || (error instanceof Error && error.name === 'HTTPParserError')) {
    return new OciError('oci.registry', `Cannot read from ${where}: its answer is not HTTP as it should be`, {
      cause: error,
      data: { code },
    })
  }
  const broken = BROKEN[code]
  return broken === undefined ? offline(text) : new TransientFailure(offline(broken))
}

/** Whether the other side did not speak TLS at all. */
export function isProtocolError(code: unknown): boolean {
  // An alert is TLS too: the other side speaks it, and does not like what it was shown.
  return typeof code === 'string' && (code === 'EPROTO' || /^ERR_SSL_(?!.*ALERT)/.test(code))
}

function tlsError(where: string, code: string, text: string, cause: unknown): OciError {
  const reason = text.split('\n')[0] ?? code
  const wantsCertificate = WANTS_CERTIFICATE.test(code)
  return new OciError(
    'oci.tls',
    wantsCertificate
      ? `Cannot reach ${where}: it wants a client certificate, or another one`
      : `Cannot reach ${where} securely: ${reason}`,
    {
      hint: wantsCertificate
        ? 'Give the certificate and the key that the registry knows.'
        : isProtocolError(code)
          ? 'The registry seems to speak plain HTTP; allow it explicitly if that is what you want.'
          : 'Give the certificate of the authority that signed for this registry.',
      cause,
      data: { code },
    },
  )
}

/** The status with which a proxy refused, as undici's ProxyAgent says it: of CONNECT, and of a forwarded request. */
function proxyRefusal(text: string): number | undefined {
  const [, status] =
    /^Proxy response \((\d+)\)/.exec(text) ?? /^Proxy Authentication Required \((\d+)\)/.exec(text) ?? []
  return status === undefined ? undefined : Number(status)
}

function refusedByProxy(url: URL, proxy: URL, status: number): OciError | TransientFailure {
  const isLogin = status === 407
  const error = new OciError(
    'oci.offline',
    `Cannot reach ${url.host}: the proxy ${proxy.host} ${isLogin ? 'wants a login, or refused the one in its address' : `answered ${status}`}`,
    {
      ...(isLogin
        ? { hint: 'Put the user name and password into its address: http://user:password@host:port.' }
        : {}),
      data: { code: 'PROXY_REFUSED', status },
    },
  )
  return [502, 503, 504].includes(status) ? new TransientFailure(error) : error
}

function systemCode(error: unknown): string {
  // happy eyeballs: every address failed, each with an error of its own
  const first = error instanceof AggregateError ? error.errors[0] : error
  const code = typeof first === 'object' && first !== null && 'code' in first ? first.code : undefined
  return typeof code === 'string' ? code : ''
}
