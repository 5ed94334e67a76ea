// Binding the host's side of a published port. The core host does it, since the engine may not: ports below 1024 need a
// right that it has given up. The sockets then go to the engine.
import { isIPv4 } from 'node:net'
import type { PublishedPort } from '../../api/methods.ts'
import { formatEnd, parseAddress } from '../../net/address.ts'
import { NetError } from '../../net/errors.ts'
import { EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT } from '../../sys/errno.ts'
import { FileDescriptor } from '../../sys/file-descriptor.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  listenSocket,
  openSocket,
  SOCK_DGRAM,
  SOCK_STREAM,
  SOL_SOCKET,
  setSocketOption,
  socketName,
} from '../../sys/socket.ts'
import { readSocketAddress, SocketAddress, writeSocketAddress } from '../../sys/socket-address.ts'
import { errnoName } from '../../sys/system-error.ts'

/** One socket that is bound: to an address, and a port that is not 0. TCP's listens. */
export interface BoundSocket {
  readonly bind: string
  readonly hostPort: number
  readonly descriptor: FileDescriptor
}

/** What stands for "this host, and nobody else". */
const LOOPBACK = ['127.0.0.1', '::1'] as const
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const SO_REUSEADDR = 2
const BACKLOG = 4096
/** How many ports are tried where the host chooses one for both families. */
const ATTEMPTS = 50

type Request = Pick<PublishedPort, 'protocol' | 'bind' | 'hostPort'>

/** The addresses that a port is bound to. */
export function bindAddresses(bind: string): readonly string[] {
  return bind === '' ? LOOPBACK : [bind]
}

/** Binds a port on all of its addresses, the same number on each. Throws NetError `net.port-taken`. */
export function bindPort(port: Request): readonly BoundSocket[] {
  for (let attempt = 1; ; attempt++) {
    try {
      return bindAll(port)
    } catch (error) {
      // The number that one family chose is taken in the other: another one will do.
      if (port.hostPort !== 0 || attempt === ATTEMPTS || !(error instanceof BindFailure))
        throw asNetError(port, error)
    }
  }
}

function bindAll(port: Request): BoundSocket[] {
  const sockets: BoundSocket[] = []
  try {
    for (const bind of bindAddresses(port.bind)) {
      const hostPort = sockets[0]?.hostPort ?? port.hostPort
      try {
        sockets.push(bindOne(port.protocol, bind, hostPort))
      } catch (error) {
        // A host without IPv6 has a loopback of one family only.
        const isMissing = error instanceof BindFailure && [EADDRNOTAVAIL, EAFNOSUPPORT].includes(error.errno)
        if (!isMissing || port.bind !== '' || sockets.length === 0) throw error
      }
    }
    return sockets
  } catch (error) {
    for (const { descriptor } of sockets) descriptor[Symbol.dispose]()
    throw error
  }
}

function bindOne(protocol: 'tcp' | 'udp', bind: string, hostPort: number): BoundSocket {
  const [word0, word1, word2, word3] = parseAddress(bind)
  const family = isIPv4(bind) ? AF_INET : AF_INET6
  const fd = check(bind, hostPort, openSocket(family, protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM))
  const descriptor = new FileDescriptor(fd)
  try {
    if (family === AF_INET6) check(bind, hostPort, setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
    // Connections of an earlier guest may still be in TIME-WAIT. Careful: for UDP this would let two have one port.
    if (protocol === 'tcp') check(bind, hostPort, setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1))
    const address = new PinnedBuffer(28)
    const sizeBytes = writeSocketAddress(address, word0, word1, word2, word3, hostPort)
    check(bind, hostPort, bindSocket(fd, address, sizeBytes))
    if (protocol === 'tcp') check(bind, hostPort, listenSocket(fd, BACKLOG))
    check(bind, hostPort, socketName(fd, address))
    const name = new SocketAddress()
    readSocketAddress(address, name)
    return { bind, hostPort: name.port, descriptor }
  } catch (error) {
    descriptor[Symbol.dispose]()
    throw error
  }
}

class BindFailure extends Error {
  readonly bind: string
  readonly hostPort: number
  readonly errno: number

  constructor(bind: string, hostPort: number, errno: number) {
    super(`${bind} ${hostPort}: ${errnoName(errno)}`)
    this.bind = bind
    this.hostPort = hostPort
    this.errno = errno
  }
}

function check(bind: string, hostPort: number, result: number): number {
  if (result < 0) throw new BindFailure(bind, hostPort, -result)
  return result
}

function asNetError({ protocol }: Request, error: unknown): unknown {
  if (!(error instanceof BindFailure)) return error
  const place = `${formatEnd(parseAddress(error.bind), error.hostPort)} (${protocol.toUpperCase()})`
  if (error.errno === EADDRINUSE)
    return new NetError('net.port-taken', `Cannot publish ${place}: another program of this host has it`, {
      hint: 'Take another port, or 0 for one that is free.',
      cause: error,
    })
  if (error.errno === EADDRNOTAVAIL)
    return new NetError('net.port-taken', `Cannot publish ${place}: this host has no such address`, {
      hint: 'See "ip address" for those that it has.',
      cause: error,
    })
  return new NetError('net.port-taken', `Cannot publish ${place}: ${errnoName(error.errno)}`, {
    cause: error,
  })
}
