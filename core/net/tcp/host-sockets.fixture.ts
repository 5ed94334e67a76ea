// Host sockets that do what a test tells them.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP } from '../../sys/epoll.ts'
import { EAGAIN } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { StreamSockets } from './stream-sockets.ts'

const FIRST_FD = 100

/** Hears of their events. */
export interface HostSocketsOwner {
  /** They can be peeked at from any offset. */
  readonly canPeek: boolean
  event(fd: number, events: number): void
}

/** A socket of the host, seen from its other end. */
export class HostSocket {
  readonly fd: number
  readonly remotePort: number
  /** What the guest's side sent, in order. */
  received: Buffer = Buffer.alloc(0)
  receivedBytes = 0
  /** False: what the guest's side sent is counted and thrown away. */
  keepsBytes = true
  /** How many more bytes it takes. */
  capacity = Number.POSITIVE_INFINITY
  isWriteShut = false
  state: 'open' | 'closed' | 'reset' = 'open'
  readonly #peer: HostSocketsOwner
  #unread = Buffer.alloc(0)
  #peekOffset = 0
  /** Where the next read ends, whatever follows: urgent data. */
  #mark = Number.POSITIVE_INFINITY
  #isEnded = false
  #error = 0
  #connectError = 0

  constructor(peer: HostSocketsOwner, fd: number, remotePort: number) {
    this.#peer = peer
    this.fd = fd
    this.remotePort = remotePort
  }

  /** What nobody has looked at. */
  get unreadBytes(): number {
    return this.#unread.length - this.#peekOffset
  }

  /** The connection is made. */
  connected(): void {
    this.#peer.event(this.fd, EPOLLOUT)
  }

  refused(errno: number): void {
    this.#connectError = errno
    this.#peer.event(this.fd, EPOLLOUT | EPOLLERR | EPOLLHUP)
  }

  /** The server sends. */
  push(bytes: Uint8Array): void {
    this.#unread = Buffer.concat([this.#unread, bytes])
    this.#peer.event(this.fd, EPOLLIN | EPOLLOUT)
  }

  /** The server sends urgent data and more behind it; a kernel tells both in one event. */
  pushUrgent(before: Uint8Array, after: Uint8Array): void {
    this.#mark = before.length
    this.#unread = Buffer.concat([this.#unread, before, after])
    this.#peer.event(this.fd, EPOLLIN | EPOLLPRI | EPOLLOUT)
  }

  /** The server sends its last bytes and closes, in one moment. */
  end(bytes: Uint8Array = Buffer.alloc(0)): void {
    this.#unread = Buffer.concat([this.#unread, bytes])
    this.#isEnded = true
    this.#peer.event(this.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP)
  }

  /** The server resets; what it sent before can still be read. */
  fail(errno: number): void {
    this.#error = errno
    this.#peer.event(this.fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLERR | EPOLLHUP)
  }

  /** The server reads `bytes`: there is room again. */
  drain(bytes: number): void {
    this.capacity += bytes
    this.#peer.event(this.fd, EPOLLOUT)
  }

  receive(buffer: PinnedBuffer, offset: number, length: number): number {
    buffer.at(offset, length)
    if (this.#unread.length === 0) {
      if (this.#error !== 0) return -this.#error
      return this.#isEnded ? 0 : -EAGAIN
    }
    const count = Math.min(length, this.#unread.length, this.#mark)
    this.#mark = Number.POSITIVE_INFINITY
    buffer.bytes.set(this.#unread.subarray(0, count), offset)
    this.#unread = this.#unread.subarray(count)
    return count
  }

  setPeekOffset(offset: number): void {
    this.#peekOffset = offset
  }

  peek(buffer: PinnedBuffer, offset: number, length: number): number {
    buffer.at(offset, length)
    const unseen = this.#unread.subarray(this.#peekOffset)
    if (unseen.length === 0) {
      if (this.#error !== 0) return -this.#error
      return this.#isEnded ? 0 : -EAGAIN
    }
    const count = Math.min(length, unseen.length)
    buffer.bytes.set(unseen.subarray(0, count), offset)
    this.#peekOffset += count
    return count
  }

  discard(length: number): void {
    if (length > this.#unread.length) throw new Error('more is thrown away than there is')
    this.#unread = this.#unread.subarray(length)
    this.#peekOffset = Math.max(0, this.#peekOffset - length)
  }

  send(buffer: PinnedBuffer, offset: number, length: number): number {
    buffer.at(offset, length)
    if (this.#error !== 0) return -this.#error
    const count = Math.min(length, this.capacity)
    if (count === 0) return -EAGAIN
    this.capacity -= count
    this.receivedBytes += count
    if (!this.keepsBytes) return count
    this.received = Buffer.concat([this.received, buffer.bytes.subarray(offset, offset + count)])
    return count
  }

  takeConnectError(): number {
    return this.#connectError
  }
}

export class HostSockets implements StreamSockets {
  readonly sockets: HostSocket[] = []
  /** What connect() says instead of connecting: a positive errno. */
  connectErrno = 0
  readonly #peer: HostSocketsOwner

  constructor(peer: HostSocketsOwner) {
    this.#peer = peer
  }

  open(remotePort: number): HostSocket {
    const socket = new HostSocket(this.#peer, FIRST_FD + this.sockets.length, remotePort)
    this.sockets.push(socket)
    return socket
  }

  unreadBytes(fd: number): number {
    return this.#of(fd).unreadBytes
  }

  connect(_0: number, _1: number, _2: number, _3: number, port: number): number {
    return this.connectErrno > 0 ? -this.connectErrno : this.open(port).fd
  }

  adopt(): void {}

  receive(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return this.#of(fd).receive(buffer, offset, length)
  }

  canPeek(): boolean {
    return this.#peer.canPeek
  }

  setPeekOffset(fd: number, offset: number): void {
    this.#of(fd).setPeekOffset(offset)
  }

  peek(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return this.#of(fd).peek(buffer, offset, length)
  }

  discard(fd: number, length: number): void {
    this.#of(fd).discard(length)
  }

  send(fd: number, buffer: PinnedBuffer, offset: number, length: number): number {
    return this.#of(fd).send(buffer, offset, length)
  }

  shutdownWrite(fd: number): void {
    this.#of(fd).isWriteShut = true
  }

  takeError(fd: number): number {
    return this.#of(fd).takeConnectError()
  }

  close(fd: number): void {
    this.#of(fd).state = 'closed'
  }

  reset(fd: number): void {
    this.#of(fd).state = 'reset'
  }

  #of(fd: number): HostSocket {
    const socket = this.sockets[fd - FIRST_FD]
    if (socket === undefined || socket.state !== 'open') throw new Error(`descriptor ${fd} is not open`)
    return socket
  }
}
