// Sockets of the test's own process in another network namespace, as streams and servers of Node: a socket belongs to the
// namespace in which it was made, wherever it is used.
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, isIPv6, Socket } from 'node:net'
import { parseAddress } from '../../../core/net/address.ts'
import { EINPROGRESS } from '../../../core/sys/errno.ts'
import { inNamespace } from '../../../core/sys/network-namespace.ts'
import { PinnedBuffer } from '../../../core/sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setSocketOption,
} from '../../../core/sys/socket.ts'
import { SOCKADDR_IN6_BYTES, writeSocketAddress } from '../../../core/sys/socket-address.ts'
import type { Namespace } from './namespace.ts'

const SO_REUSEADDR = 2

export interface Place {
  readonly address: string
  readonly port: number
}

/** A connection to `to`, being made; a write waits for it, a failure is an `error` event. `from` binds its own end. */
export function connectIn(
  namespace: Namespace,
  to: Place,
  { from, allowHalfOpen = false }: { from?: Place; allowHalfOpen?: boolean } = {},
): Socket {
  const fd = boundSocket(namespace, SOCK_STREAM, isIPv6(to.address), from)
  const { target, size } = socketAddress(to)
  const result = connectSocket(fd, target, size)
  if (result < 0 && result !== -EINPROGRESS) {
    closeDescriptor(fd)
    throw new Error(`Cannot connect to ${to.address}: errno ${-result}`)
  }
  return new Socket({ fd, allowHalfOpen, readable: true, writable: true })
}

/** The descriptor of a bound socket, TCP's listening: what a published port begins with. */
export function boundDescriptor(namespace: Namespace, protocol: 'tcp' | 'udp', place: Place): number {
  const type = protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM
  const fd = boundSocket(namespace, type, isIPv6(place.address), place)
  if (type === SOCK_STREAM) check(listenSocket(fd, 1024), fd, `listen on ${place.address}:${place.port}`)
  return fd
}

/** A server of this process that listens in `namespace`; it ends with all of its connections. */
export async function listenIn(
  namespace: Namespace,
  place: Place,
  serve: (socket: Socket) => void,
): Promise<AsyncDisposable> {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    // Whether a client may reset is the test's to say, at the client.
    socket.on('error', () => undefined)
    serve(socket)
  })
  server.listen({ fd: boundDescriptor(namespace, 'tcp', place) })
  await once(server, 'listening')
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** A UDP socket of this process, bound in `namespace`. */
export async function datagramsIn(
  namespace: Namespace,
  place: Place,
): Promise<DatagramSocket & AsyncDisposable> {
  const socket = createSocket(isIPv6(place.address) ? 'udp6' : 'udp4')
  // With a descriptor Node says so before bind() returns.
  const listening = once(socket, 'listening')
  socket.bind({ fd: boundDescriptor(namespace, 'udp', place) })
  await listening
  return socket
}

/** The socket `fd` of this process as a stream; `given` was handed to another process and is closed here. */
export function fromDescriptor(fd: number, given: number): { readonly socket: Socket } & Disposable {
  closeDescriptor(given)
  const socket = new Socket({ fd, allowHalfOpen: true, readable: true, writable: true })
  return { socket, [Symbol.dispose]: () => void socket.destroy() }
}

/** All that comes until the other side ends. Throws where it resets. */
export async function readToEnd(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of socket) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function boundSocket(namespace: Namespace, type: number, isIpv6: boolean, place: Place | undefined): number {
  const fd = inNamespace(namespace.path, () => openSocket(isIpv6 ? AF_INET6 : AF_INET, type))
  check(fd, fd, 'open a socket')
  if (place === undefined) return fd
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
  const { target, size } = socketAddress(place)
  check(bindSocket(fd, target, size), fd, `bind ${place.address}:${place.port}`)
  return fd
}

function socketAddress({ address, port }: Place): { target: PinnedBuffer; size: number } {
  const target = new PinnedBuffer(SOCKADDR_IN6_BYTES)
  const [first, second, third, fourth] = parseAddress(address)
  return { target, size: writeSocketAddress(target, first, second, third, fourth, port) }
}

function check(result: number, fd: number, action: string): void {
  if (result >= 0) return
  if (fd >= 0) closeDescriptor(fd)
  throw new Error(`Cannot ${action}: errno ${-result}`)
}
