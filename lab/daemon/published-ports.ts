// Ports that guests of the lab publish, on this machine's loopback: what listens here carries each connection to the
// same port of dom0, where the published one is. The agent joins the two: dom0's loopback is in no one's reach.

import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { createServer, isIPv6, type Server, type Socket } from 'node:net'
import type { PublishedPort } from '../../core/api/methods.ts'
import { type ConnectRequest, datagramFrame, encodeFrame, FrameReader } from '../agent/protocol.ts'
import { carry } from './dom0-connection.ts'

/** What a published port is here. */
export interface PublishedHere {
  readonly protocol: 'tcp' | 'udp'
  readonly hostAddress: string
  readonly hostPort: number
  /** Why it cannot be reached here. */
  readonly problem?: string
}

/** Opens a connection to the agent and sends it the request. */
export type OpenRelay = (request: ConnectRequest) => Socket

const bothLoopbacks = ['127.0.0.1', '::1'] as const
/** As long as the engine keeps an answered UDP flow (core/net/settings.ts). */
const datagramIdleMs = 180_000

interface Listening {
  readonly here: PublishedHere
  close(): void
}

export class PublishedPorts {
  readonly #openRelay: OpenRelay
  readonly #listening = new Map<string, Promise<Listening>>()
  #settled: readonly PublishedHere[] = []

  constructor(openRelay: OpenRelay) {
    this.#openRelay = openRelay
  }

  list(): readonly PublishedHere[] {
    return this.#settled
  }

  /** Listens for `ports` and no longer for others. Connections that are there go on. */
  async update(ports: readonly PublishedPort[]): Promise<void> {
    const wanted = new Map(
      ports
        .flatMap(endsOf)
        .map((request) => [`${request.protocol} ${request.address} ${request.port}`, request]),
    )
    for (const [key, listening] of this.#listening) {
      if (wanted.has(key)) continue
      this.#listening.delete(key)
      await listening.then((one) => one.close())
    }
    for (const [key, request] of wanted) {
      if (this.#listening.has(key)) continue
      this.#listening.set(key, request.protocol === 'tcp' ? this.#listen(request) : this.#bind(request))
    }
    this.#settled = (await Promise.all(this.#listening.values())).map(({ here }) => here)
  }

  #listen(request: ConnectRequest): Promise<Listening> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (connection) =>
      carry(connection, this.#openRelay(request)),
    )
    return settle(request, server, () =>
      server.listen({ port: request.port, host: loopbackOf(request), ipv6Only: true }),
    )
  }

  #bind(request: ConnectRequest): Promise<Listening> {
    const isV6 = isIPv6(loopbackOf(request))
    const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6 })
    const senders = new Map<string, Socket>()
    socket.on('message', (message, { address, port }) => {
      const key = `${address} ${port}`
      const relay = senders.get(key) ?? this.#relayFor(socket, { request, address, port })
      if (!senders.has(key)) {
        senders.set(key, relay)
        relay.on('close', () => senders.delete(key))
      }
      relay.write(encodeFrame(datagramFrame, message))
    })
    socket.on('close', () => {
      for (const relay of senders.values()) relay.destroy()
    })
    return settle(request, socket, () => socket.bind({ port: request.port, address: loopbackOf(request) }))
  }

  #relayFor(
    socket: DatagramSocket,
    { request, address, port }: { request: ConnectRequest; address: string; port: number },
  ): Socket {
    const relay = this.#openRelay(request)
    const frames = new FrameReader()
    relay.setTimeout(datagramIdleMs, () => relay.destroy())
    relay.on('error', () => {})
    relay.on('data', (chunk: Buffer) => {
      for (const { payload } of frames.push(chunk)) socket.send(Buffer.from(payload), port, address, () => {})
    })
    return relay
  }
}

/** Where in dom0 a published port can be reached, once for each family that it is open on. */
function endsOf({ protocol, bind, hostPort: port }: PublishedPort): ConnectRequest[] {
  const every: Readonly<Record<string, readonly string[]>> = {
    '': bothLoopbacks,
    '0.0.0.0': ['127.0.0.1'],
    '::': ['::1'],
  }
  return (every[bind] ?? [bind]).map((address) => ({ verb: 'connect', protocol, address, port }))
}

function loopbackOf({ address }: ConnectRequest): string {
  return isIPv6(address) ? '::1' : '127.0.0.1'
}

/** A port that cannot be had here is no failure of the lab's: whoever asks for its status is told. */
function settle(
  request: ConnectRequest,
  endpoint: Server | DatagramSocket,
  open: () => void,
): Promise<Listening> {
  const { protocol, port: hostPort } = request
  const here = { protocol, hostAddress: loopbackOf(request), hostPort }
  return new Promise((resolve) => {
    endpoint.on('error', (error) => resolve({ here: { ...here, problem: error.message }, close: () => {} }))
    endpoint.once('listening', () => resolve({ here, close: () => void endpoint.close() }))
    open()
  })
}
