// A real forward proxy: CONNECT for tunnels, requests in absolute form for plain HTTP (RFC 9110 §9.3.6, RFC 9112 §3.2.2).
// It looks names up by itself, as proxies do: so the tests have names that nobody else knows.

import { once } from 'node:events'
import { createServer, request as forward, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { portOf, type RunningServer } from './registry-servers.ts'

export interface ForwardProxy extends RunningServer {
  /** What went through so far: `CONNECT registry.test:5000`, `GET http://registry.test/v2/`. */
  readonly log: string[]
  /** Requests that came without the right credentials. */
  readonly refused: string[]
}

export interface ForwardProxyOptions {
  /** Where names lead; others are looked up. */
  readonly hosts?: Readonly<Record<string, string>>
  /** `user:password` that it wants. */
  readonly credentials?: string
}

export async function startForwardProxy({
  hosts = {},
  credentials,
}: ForwardProxyOptions = {}): Promise<ForwardProxy> {
  const log: string[] = []
  const refused: string[] = []
  const wanted =
    credentials === undefined ? undefined : `Basic ${Buffer.from(credentials).toString('base64')}`
  const isWelcome = ({ headers, method, url }: IncomingMessage) => {
    const isKnown = wanted === undefined || headers['proxy-authorization'] === wanted
    const list = isKnown ? log : refused
    list.push(`${method} ${url}`)
    return isKnown
  }
  const server = createServer((request, response) => {
    if (!isWelcome(request)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="proxy"' }).end()
      return
    }
    const { hostname, port, pathname, search } = new URL(request.url ?? '')
    const { 'proxy-authorization': _, ...headers } = request.headers
    const target = { host: hosts[hostname] ?? hostname, port: port || 80, path: `${pathname}${search}` }
    const onward = forward({ ...target, method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(response)
    })
    onward.on('error', () => response.writeHead(502).end())
    request.pipe(onward)
  })
  server.on('connect', (request, socket) => {
    if (!isWelcome(request)) {
      socket.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="proxy"\r\n\r\n',
      )
      return
    }
    const { hostname, port } = new URL(`tcp://${request.url}`)
    const onward = connect(Number(port), hosts[hostname] ?? hostname)
    onward.on('connect', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(onward).pipe(socket)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${portOf(server.address())}`,
    log,
    refused,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
