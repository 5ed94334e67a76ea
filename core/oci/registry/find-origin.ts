// Where a registry answers: with HTTPS, or without where that is allowed.

import { hasCode, OciError } from '../errors.ts'
import { isLoopbackHost, type Reach, reachOfHost } from './address-policy.ts'
import { TransientFailure } from './backoff.ts'
import type { HttpClient } from './http-client.ts'
import { isProtocolError } from './http-errors.ts'

/**
 * The origin of `host[:port]`. On this machine, or where plain HTTP was allowed, a server that does not speak TLS is used
 * without it; a certificate that is not good is an error everywhere. Throws `oci.offline`, `oci.tls`.
 */
export async function findOrigin(
  host: string,
  client: HttpClient,
  { plainHttp, signal }: { plainHttp: boolean | undefined; signal: AbortSignal | undefined },
): Promise<URL> {
  const secure = new URL(`https://${host}`)
  if (plainHttp !== true && !isLoopbackHost(secure.hostname)) return secure
  try {
    const response = await client.send(new URL('/v2/', secure), { method: 'GET', headers: {}, signal })
    await response.discard()
    return secure
  } catch (error) {
    if (speaksNoTls(error)) return new URL(`http://${host}`)
    throw error instanceof TransientFailure ? error.error : error
  }
}

/** How close to this machine a registry is: what it leads to may be as close, and no closer. */
export async function reachOfOrigin(origin: URL, client: HttpClient): Promise<Reach> {
  try {
    return await reachOfHost(origin.hostname)
  } catch (cause) {
    // A proxy may know names that this machine does not.
    if (client.proxyFor(origin) !== undefined) return 'public'
    throw new OciError('oci.offline', `Cannot reach ${origin.host}: its name is not known`, { cause })
  }
}

/** Servers without TLS answer a handshake with text, hang up, or (on port 443) are not there at all. */
function speaksNoTls(error: unknown): boolean {
  if (error instanceof TransientFailure) return true
  if (!(error instanceof OciError)) return false
  const code = error.data?.code
  if (hasCode(error, 'oci.tls')) return isProtocolError(code)
  // A proxy that wants a login tells nothing about the server behind it; one that opens no tunnel there may.
  if (code === 'PROXY_REFUSED') return error.data?.status !== 407
  return hasCode(error, 'oci.offline') && code !== 'ENOTFOUND'
}
