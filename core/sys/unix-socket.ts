// Unix sockets by descriptor number (unix(7)): for connections that carry descriptors, which Node's own cannot.
import koffi, { type KoffiFunc } from 'koffi'
import { EAGAIN } from './errno.ts'
import { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import {
  AF_UNIX,
  acceptSocket,
  bindSocket,
  connectSocket,
  listenSocket,
  openSocket,
  SOCK_STREAM,
} from './socket.ts'
import { SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
const duplicateFunction: KoffiFunc<(fd: number, command: number, lowest: number) => number> = library.func(
  'int fcntl(int fd, int command, int lowest)',
)

/** sun_path of struct sockaddr_un, with its closing zero. */
const PATH_BYTES = 108
const ADDRESS_BYTES = 2 + PATH_BYTES
/** fcntl.h */
const F_DUPFD_CLOEXEC = 1030
const BACKLOG = 16

/** Listens at `path`, which must not be there; only this user may connect. Throws SystemError. */
export function listenAtPath(path: string): FileDescriptor {
  const address = pathAddress(path)
  using listener = new Guarded(openStreamSocket(path))
  const before = process.umask(0o177)
  const bound = bindSocket(listener.fd, address, ADDRESS_BYTES)
  process.umask(before)
  check(bound, `bind ${path}`)
  check(listenSocket(listener.fd, BACKLOG), `listen at ${path}`)
  return listener.take()
}

/** Connects to `path`. Throws SystemError: ENOENT and ECONNREFUSED where nobody listens. */
export function connectToPath(path: string): FileDescriptor {
  const address = pathAddress(path)
  using socket = new Guarded(openStreamSocket(path))
  check(connectSocket(socket.fd, address, ADDRESS_BYTES), `connect to ${path}`)
  return socket.take()
}

/** One waiting connection of a listener, or undefined. Throws SystemError. */
export function acceptConnection(listener: FileDescriptor): FileDescriptor | undefined {
  const fd = acceptSocket(listener.fd, new PinnedBuffer(ADDRESS_BYTES))
  if (fd === -EAGAIN) return undefined
  return new FileDescriptor(check(fd, 'accept a connection'))
}

/** Another number for the same open file, closed on exec. Throws SystemError. */
export function duplicateDescriptor(fd: number): number {
  const duplicate = duplicateFunction(fd, F_DUPFD_CLOEXEC, 0)
  if (duplicate < 0) throw new SystemError(`duplicate descriptor ${fd}`, koffi.errno())
  return duplicate
}

function openStreamSocket(path: string): number {
  return check(openSocket(AF_UNIX, SOCK_STREAM), `make a socket for ${path}`)
}

function pathAddress(path: string): PinnedBuffer {
  const bytes = Buffer.from(path)
  if (bytes.length >= PATH_BYTES || bytes.includes(0))
    throw new RangeError(`A unix socket's path has at most ${PATH_BYTES - 1} bytes: ${path}`)
  const address = new PinnedBuffer(ADDRESS_BYTES)
  address.view.setUint16(0, AF_UNIX, true)
  address.bytes.set(bytes, 2)
  return address
}

function check(result: number, action: string): number {
  if (result < 0) throw new SystemError(action, -result)
  return result
}

/** Closes its descriptor unless it was taken. */
class Guarded implements Disposable {
  readonly fd: number
  #descriptor: FileDescriptor | undefined

  constructor(fd: number) {
    this.fd = fd
    this.#descriptor = new FileDescriptor(fd)
  }

  take(): FileDescriptor {
    const descriptor = this.#descriptor
    if (descriptor === undefined) throw new Error('The descriptor was taken already')
    this.#descriptor = undefined
    return descriptor
  }

  [Symbol.dispose](): void {
    this.#descriptor?.[Symbol.dispose]()
  }
}
