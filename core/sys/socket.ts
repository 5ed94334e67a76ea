// Sockets for the packet path: non-blocking, by descriptor number, with buffers that stay where they are. Nothing here
// throws for what the other side does: a negative errno comes back (errno.ts).
// Sources: socket(7), tcp(7), udp(7), ip(7), ipv6(7); layouts and constants of x86-64 Linux.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import { PinnedBuffer } from './pinned-buffer.ts'

const library = koffi.load('libc.so.6')
type NumberFunction<Arguments extends readonly unknown[]> = KoffiFunc<(...parameters: Arguments) => number>

const socketFunction: NumberFunction<[domain: number, type: number, protocol: number]> = library.func(
  'int socket(int domain, int type, int protocol)',
)
const recvFunction: NumberFunction<[fd: number, buffer: number, size: number, flags: number]> = library.func(
  'intptr_t recv(int fd, uintptr_t buffer, size_t size, int flags)',
)
const sendFunction: NumberFunction<[fd: number, buffer: number, size: number, flags: number]> = library.func(
  'intptr_t send(int fd, uintptr_t buffer, size_t size, int flags)',
)
const readFunction: NumberFunction<[fd: number, buffer: number, size: number]> = library.func(
  'intptr_t read(int fd, uintptr_t buffer, size_t size)',
)
const writeFunction: NumberFunction<[fd: number, buffer: number, size: number]> = library.func(
  'intptr_t write(int fd, uintptr_t buffer, size_t size)',
)
const writevFunction: NumberFunction<[fd: number, parts: number, count: number]> = library.func(
  'intptr_t writev(int fd, uintptr_t parts, int count)',
)
const connectFunction: NumberFunction<[fd: number, address: number, size: number]> = library.func(
  'int connect(int fd, uintptr_t address, unsigned int size)',
)
const bindFunction: NumberFunction<[fd: number, address: number, size: number]> = library.func(
  'int bind(int fd, uintptr_t address, unsigned int size)',
)
const listenFunction: NumberFunction<[fd: number, backlog: number]> = library.func(
  'int listen(int fd, int backlog)',
)
const acceptFunction: NumberFunction<[fd: number, address: number, size: number, flags: number]> =
  library.func('int accept4(int fd, uintptr_t address, uintptr_t size, int flags)')
const shutdownFunction: NumberFunction<[fd: number, how: number]> = library.func(
  'int shutdown(int fd, int how)',
)
const closeFunction: NumberFunction<[fd: number]> = library.func('int close(int fd)')
const setsockoptFunction: NumberFunction<
  [fd: number, level: number, name: number, value: number, size: number]
> = library.func('int setsockopt(int fd, int level, int name, uintptr_t value, unsigned int size)')
const getsockoptFunction: NumberFunction<
  [fd: number, level: number, name: number, value: number, size: number]
> = library.func('int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t size)')
const getsocknameFunction: NumberFunction<[fd: number, address: number, size: number]> = library.func(
  'int getsockname(int fd, uintptr_t address, uintptr_t size)',
)

export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_SEQPACKET = 5
export const SOCK_NONBLOCK = 0x800
export const SOCK_CLOEXEC = 0x80000
export const MSG_PEEK = 2
const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000
export const MSG_MORE = 0x8000
export const SHUT_RD = 0
export const SHUT_WR = 1
export const SHUT_RDWR = 2
export const SOL_SOCKET = 1
const SO_ERROR = 4
const SO_LINGER = 13

/** The value of a call, or its errno as a negative number; a call that a signal broke is made again. */
function result(value: number): number {
  return value < 0 ? -koffi.errno() : value
}

/** Small values of calls: option values, lengths, struct linger. */
const scratch = new PinnedBuffer(64)

/** socket(2), non-blocking and close-on-exec: a descriptor or a negative errno. */
export function openSocket(domain: number, type: number, protocol = 0): number {
  return result(socketFunction(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol))
}

/** close(2). */
export function closeDescriptor(fd: number): void {
  closeFunction(fd)
}

/** recv(2), without waiting: bytes, 0 at the end of a stream, or a negative errno. */
export function receiveBytes(
  fd: number,
  buffer: PinnedBuffer,
  offset: number,
  length: number,
  flags = 0,
): number {
  const address = buffer.at(offset, length)
  for (;;) {
    const count = result(recvFunction(fd, address, length, flags | MSG_DONTWAIT))
    if (count !== -EINTR) return count
  }
}

/** Throws away `length` bytes of a TCP socket's receive buffer (MSG_TRUNC, tcp(7)): how many there were, or a negative errno. */
export function discardBytes(fd: number, length: number): number {
  for (;;) {
    const count = result(recvFunction(fd, 0, length, MSG_TRUNC | MSG_DONTWAIT))
    if (count !== -EINTR) return count
  }
}

/** send(2), without waiting and without SIGPIPE: bytes taken, or a negative errno. */
export function sendBytes(
  fd: number,
  buffer: PinnedBuffer,
  offset: number,
  length: number,
  flags = 0,
): number {
  const address = buffer.at(offset, length)
  for (;;) {
    const count = result(sendFunction(fd, address, length, flags | MSG_DONTWAIT | MSG_NOSIGNAL))
    if (count !== -EINTR) return count
  }
}

/** read(2) of a non-blocking descriptor. */
export function readBytes(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
  const address = buffer.at(offset, length)
  for (;;) {
    const count = result(readFunction(fd, address, length))
    if (count !== -EINTR) return count
  }
}

/** write(2) of a non-blocking descriptor. */
export function writeBytes(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
  const address = buffer.at(offset, length)
  for (;;) {
    const count = result(writeFunction(fd, address, length))
    if (count !== -EINTR) return count
  }
}

const parts = new PinnedBuffer(32)
const partWords = new Uint32Array(parts.bytes.buffer)

/** writev(2) of two parts, the shape of every large frame: a header built in place and a payload that lies elsewhere. */
export function writeTwo(
  fd: number,
  header: PinnedBuffer,
  headerBytes: number,
  payload: PinnedBuffer,
  payloadOffset: number,
  payloadBytes: number,
): number {
  setPart(0, header.at(0, headerBytes), headerBytes)
  setPart(4, payload.at(payloadOffset, payloadBytes), payloadBytes)
  for (;;) {
    const count = result(writevFunction(fd, parts.address, 2))
    if (count !== -EINTR) return count
  }
}

/** struct iovec: a pointer and a size_t, each written as two halves. */
function setPart(word: number, address: number, length: number): void {
  partWords[word] = address >>> 0
  partWords[word + 1] = (address / 4_294_967_296) >>> 0
  partWords[word + 2] = length
  partWords[word + 3] = 0
}

/** connect(2) to an address as socket-address.ts writes it: 0, or a negative errno (-EINPROGRESS for TCP). */
export function connectSocket(fd: number, address: PinnedBuffer, sizeBytes: number): number {
  return result(connectFunction(fd, address.at(0, sizeBytes), sizeBytes))
}

/** bind(2). */
export function bindSocket(fd: number, address: PinnedBuffer, sizeBytes: number): number {
  return result(bindFunction(fd, address.at(0, sizeBytes), sizeBytes))
}

/** listen(2). */
export function listenSocket(fd: number, backlog: number): number {
  return result(listenFunction(fd, backlog))
}

/** accept4(2): a non-blocking descriptor and, in `address`, who it is; or a negative errno. */
export function acceptSocket(fd: number, address: PinnedBuffer): number {
  scratch.view.setUint32(0, address.sizeBytes, true)
  return result(
    acceptFunction(fd, address.at(0, address.sizeBytes), scratch.address, SOCK_NONBLOCK | SOCK_CLOEXEC),
  )
}

/** getsockname(2) into `address`: 0 or a negative errno. */
export function socketName(fd: number, address: PinnedBuffer): number {
  scratch.view.setUint32(0, address.sizeBytes, true)
  return result(getsocknameFunction(fd, address.at(0, address.sizeBytes), scratch.address))
}

/** shutdown(2). */
export function shutdownSocket(fd: number, how: number): number {
  return result(shutdownFunction(fd, how))
}

/** Sets an option whose value is an int. */
export function setSocketOption(fd: number, level: number, name: number, value: number): number {
  scratch.view.setInt32(0, value, true)
  return result(setsockoptFunction(fd, level, name, scratch.address, 4))
}

/** Reads an option whose value is an int: the value, or a negative errno. */
export function socketOption(fd: number, level: number, name: number): number {
  scratch.view.setInt32(0, 0, true)
  scratch.view.setUint32(8, 4, true)
  const failed = result(getsockoptFunction(fd, level, name, scratch.address, scratch.address + 8))
  return failed < 0 ? failed : scratch.view.getInt32(0, true)
}

/** Reads an option whose value is a struct into `target`: the bytes the kernel wrote, or a negative errno. */
export function socketOptionInto(fd: number, level: number, name: number, target: PinnedBuffer): number {
  scratch.view.setUint32(8, target.sizeBytes, true)
  const failed = result(
    getsockoptFunction(fd, level, name, target.at(0, target.sizeBytes), scratch.address + 8),
  )
  return failed < 0 ? failed : scratch.view.getUint32(8, true)
}

/** SO_ERROR: the errno (positive) that a connect or a datagram left behind, 0 for none. Reading it clears it. */
export function takeSocketError(fd: number): number {
  return Math.max(0, socketOption(fd, SOL_SOCKET, SO_ERROR))
}

/** Closes a TCP socket so that its peer sees a reset (SO_LINGER 0, socket(7)). */
export function resetSocket(fd: number): void {
  scratch.view.setInt32(0, 1, true)
  scratch.view.setInt32(4, 0, true)
  setsockoptFunction(fd, SOL_SOCKET, SO_LINGER, scratch.address, 8)
  closeFunction(fd)
}
