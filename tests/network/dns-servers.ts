// Real and scripted DNS servers on loopback, a front for the forwarder that `dig` can ask, and `dig`.
import { execFile } from 'node:child_process'
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6, type Socket } from 'node:net'
import { promisify } from 'node:util'
import type { DnsForwarder } from '../../core/net/dns/dns-forwarder.ts'
import type { Namespace } from './support/namespace.ts'
import { Program } from './support/program.ts'

const run = promisify(execFile)

/** A port that was free on 127.0.0.1 a moment ago, UDP and TCP. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

export interface DnsmasqOptions {
  /** Its own options for what it knows; it knows nothing else. */
  readonly records: readonly string[]
  readonly namespace?: Namespace
}

/** dnsmasq at `address`:`port`. */
export async function startDnsmasq(
  address: string,
  port: number,
  { records, namespace }: DnsmasqOptions,
): Promise<AsyncDisposable> {
  const options = ['--no-daemon', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--bind-interfaces']
  const place = ['--user=root', '--local=/test/', `--port=${port}`, `--listen-address=${address}`]
  const command = ['dnsmasq', ...options, ...place, ...records]
  const server = namespace?.start(...command) ?? new Program(command)
  // It says that it has started on stderr, which is for people.
  await new Promise<void>((resolve, reject) => {
    let said = ''
    server.child.stderr.on('data', (text: Buffer) => {
      said += text.toString()
      if (said.includes('started, version')) resolve()
    })
    void server.end.then(({ stderr }) => reject(new Error(`dnsmasq did not start: ${stderr}`)))
  })
  return server
}

/** A UDP server that does with each query what `answer` says: what `send` is given goes back to the client. */
export async function startScriptedServer(
  address: string,
  port: number,
  answer: (query: Buffer, send: (message: Uint8Array, from?: DatagramSocket) => void) => void,
): Promise<AsyncDisposable & { readonly queries: Buffer[] }> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  const queries: Buffer[] = []
  socket.on('message', (query, client) => {
    queries.push(query)
    answer(query, (message, from = socket) => from.send(message, client.port, client.address))
  })
  socket.bind(port, address)
  await once(socket, 'listening')
  return {
    queries,
    async [Symbol.asyncDispose]() {
      socket.close()
      await once(socket, 'close')
    },
  }
}

export interface Front extends AsyncDisposable {
  readonly port: number
  readonly sockets: Set<Socket>
}

/** The forwarder as a DNS server on loopback, for one guest. */
export async function startFront(forwarder: DnsForwarder, guest: string): Promise<Front> {
  const datagrams = createSocket('udp4')
  const sockets = new Set<Socket>()
  const streams = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    forwarder.serveStream(guest, socket)
  })
  datagrams.on('message', (message, { port, address }) =>
    forwarder.query(guest, message, (answer) => datagrams.send(answer, port, address)),
  )
  streams.listen(0, '127.0.0.1')
  await once(streams, 'listening')
  const { port } = streams.address() as AddressInfo
  datagrams.bind(port, '127.0.0.1')
  await once(datagrams, 'listening')
  return {
    port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      datagrams.close()
      streams.close()
      await once(streams, 'close')
    },
  }
}

/** Runs `dig` against a front; all it prints. `dig` ends with 9 where no server answers. */
export async function dig(port: number, ...question: readonly string[]): Promise<string> {
  const { stdout } = await run('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', '+time=8', ...question])
  return stdout
}
