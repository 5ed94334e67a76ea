// What a server said before it hung up. With TLS 1.3 a server that wants a client certificate refuses after the handshake,
// and undici reports the end of the connection before the alert that explains it. A bare connection hears the alert.

import type { LookupFunction } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'

const LISTEN_MS = 2_000

/** The error of the alert that a server answers a handshake with; undefined when it sends none, or not soon. */
export function listenForAlert(
  url: URL,
  options: ConnectionOptions & { readonly lookup?: LookupFunction | undefined },
): Promise<Error | undefined> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return new Promise((resolve) => {
    const socket = connect({ ...options, host, port: Number(url.port || 443), timeout: LISTEN_MS })
    const end = (error?: Error) => {
      socket.destroy()
      resolve(error)
    }
    socket.on('error', (error) =>
      end('code' in error && String(error.code).includes('_ALERT_') ? error : undefined),
    )
    socket.on('timeout', () => end())
    socket.on('close', () => end())
    socket.resume()
  })
}
