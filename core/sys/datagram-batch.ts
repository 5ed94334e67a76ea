// Many datagrams in one system call: recvmmsg(2) and sendmmsg(2). Structures and payloads lie in pinned buffers that are
// laid out once. Negative errnos as in socket.ts. Sources: ip(7), ipv6(7), cmsg(3); layouts of x86-64 Linux.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import {
  ADDRESS_BYTES,
  CONTROL_HEADER_BYTES,
  CONTROL_LEVEL,
  CONTROL_TYPE,
  MESSAGE_CONTROL,
  MESSAGE_CONTROL_BYTES,
  MESSAGE_FLAGS,
  MESSAGE_NAME,
  MESSAGE_NAME_BYTES,
  MESSAGE_PART_COUNT,
  MESSAGE_PARTS,
  PART_BYTES,
  PART_LENGTH,
  paddedControlBytes,
  setWide,
} from './message-header.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './socket.ts'
import { readSocketAddress, type SocketAddress } from './socket-address.ts'

const library = koffi.load('libc.so.6')
type NumberFunction<Arguments extends readonly unknown[]> = KoffiFunc<(...parameters: Arguments) => number>
const recvmmsgFunction: NumberFunction<
  [fd: number, messages: number, count: number, flags: number, timeout: number]
> = library.func('int recvmmsg(int fd, uintptr_t messages, unsigned int count, int flags, uintptr_t timeout)')
const sendmmsgFunction: NumberFunction<[fd: number, messages: number, count: number, flags: number]> =
  library.func('int sendmmsg(int fd, uintptr_t messages, unsigned int count, int flags)')

/** struct mmsghdr: a struct msghdr, and how much was received or sent. */
const MESSAGE_BYTES = 64
const RECEIVED = 56
const MSG_TRUNC = 0x20
/** Of the control messages of one datagram. */
const CONTROL_BYTES = 128

const IPPROTO_IP = 0
const IP_PKTINFO = 8
const IPPROTO_IPV6 = 41
const IPV6_PKTINFO = 50
const MAPPED_PREFIX = 0xffff

/** The largest payload of a UDP datagram over IPv4 (RFC 768: 65535 less both headers). */
export const MAX_DATAGRAM_BYTES = 65_507

export interface ReceiverOptions {
  /** Datagrams of one call. */
  readonly capacity?: number
  /** Of each; what is longer is cut off and says so. */
  readonly slotBytes?: number
  /** Who sent each datagram is kept: for sockets that are not connected. */
  readonly withAddress?: boolean
  /** Control messages are kept (IP_PKTINFO). */
  readonly withControl?: boolean
}

/** Receives datagrams, many at once. One is enough for all sockets of a thread. */
export class DatagramReceiver {
  /** Where the payloads are. */
  readonly buffer: PinnedBuffer
  readonly capacity: number
  readonly #strideBytes: number
  readonly #messages: PinnedBuffer
  readonly #names: PinnedBuffer
  readonly #controls: PinnedBuffer
  readonly #parts: PinnedBuffer
  readonly #withAddress: boolean
  readonly #withControl: boolean

  constructor(options: ReceiverOptions = {}) {
    const { capacity = 32, slotBytes = 65_536, withAddress = false, withControl = false } = options
    this.capacity = capacity
    this.#withAddress = withAddress
    this.#withControl = withControl
    // Slots a power of two apart would share the sets of the processor's cache.
    this.#strideBytes = slotBytes + 192
    this.buffer = new PinnedBuffer(capacity * this.#strideBytes)
    this.#messages = new PinnedBuffer(capacity * MESSAGE_BYTES)
    this.#names = new PinnedBuffer(capacity * ADDRESS_BYTES)
    this.#controls = new PinnedBuffer(capacity * CONTROL_BYTES)
    this.#parts = new PinnedBuffer(capacity * PART_BYTES)
    for (let index = 0; index < capacity; index++) {
      const message = index * MESSAGE_BYTES
      const { view } = this.#messages
      const part = index * PART_BYTES
      setWide(this.#parts.view, part, this.buffer.at(index * this.#strideBytes, slotBytes))
      setWide(this.#parts.view, part + PART_LENGTH, slotBytes)
      setWide(view, message + MESSAGE_PARTS, this.#parts.at(part, PART_BYTES))
      setWide(view, message + MESSAGE_PART_COUNT, 1)
      if (withAddress)
        setWide(view, message + MESSAGE_NAME, this.#names.at(index * ADDRESS_BYTES, ADDRESS_BYTES))
      if (withControl)
        setWide(view, message + MESSAGE_CONTROL, this.#controls.at(index * CONTROL_BYTES, CONTROL_BYTES))
    }
  }

  /** Takes what waits, up to `capacity`: how many datagrams, or a negative errno (-EAGAIN: none). */
  receive(fd: number): number {
    const { view } = this.#messages
    if (this.#withAddress || this.#withControl)
      for (let index = 0; index < this.capacity; index++) {
        if (this.#withAddress) view.setUint32(index * MESSAGE_BYTES + MESSAGE_NAME_BYTES, ADDRESS_BYTES, true)
        if (this.#withControl)
          view.setUint32(index * MESSAGE_BYTES + MESSAGE_CONTROL_BYTES, CONTROL_BYTES, true)
      }
    for (;;) {
      const count = recvmmsgFunction(fd, this.#messages.address, this.capacity, MSG_DONTWAIT, 0)
      if (count >= 0) return count
      const errno = koffi.errno()
      if (errno !== EINTR) return -errno
    }
  }

  /** Where the payload of the `index`-th datagram begins in `buffer`. */
  offset(index: number): number {
    return index * this.#strideBytes
  }

  length(index: number): number {
    return this.#messages.view.getUint32(index * MESSAGE_BYTES + RECEIVED, true)
  }

  isTruncated(index: number): boolean {
    return (this.#messages.view.getUint32(index * MESSAGE_BYTES + MESSAGE_FLAGS, true) & MSG_TRUNC) !== 0
  }

  /** Who sent it. False where the kernel gave no address of IP. */
  sender(index: number, into: SocketAddress): boolean {
    return readSocketAddress(this.#names, into, index * ADDRESS_BYTES)
  }

  /** The local address it was sent to (IP_PKTINFO, IPV6_RECVPKTINFO). False where the kernel did not say. */
  localAddress(index: number, into: SocketAddress): boolean {
    const { view } = this.#controls
    const start = index * CONTROL_BYTES
    const end =
      start +
      Math.min(
        CONTROL_BYTES,
        this.#messages.view.getUint32(index * MESSAGE_BYTES + MESSAGE_CONTROL_BYTES, true),
      )
    for (let at = start; at + CONTROL_HEADER_BYTES <= end; ) {
      const length = view.getUint32(at, true)
      if (length < CONTROL_HEADER_BYTES || at + length > end) return false
      const level = view.getInt32(at + CONTROL_LEVEL, true)
      const type = view.getInt32(at + CONTROL_TYPE, true)
      const data = at + CONTROL_HEADER_BYTES
      if (level === IPPROTO_IP && type === IP_PKTINFO && length >= CONTROL_HEADER_BYTES + 12) {
        // struct in_pktinfo: interface, local address, destination of the header.
        into.word0 = 0
        into.word1 = 0
        into.word2 = MAPPED_PREFIX
        into.word3 = view.getInt32(data + 8)
        into.port = 0
        return true
      }
      if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO && length >= CONTROL_HEADER_BYTES + 20) {
        into.word0 = view.getInt32(data)
        into.word1 = view.getInt32(data + 4)
        into.word2 = view.getInt32(data + 8)
        into.word3 = view.getInt32(data + 12)
        into.port = 0
        return true
      }
      at += paddedControlBytes(length)
    }
    return false
  }
}

/** Sends many datagrams of one connected socket in one call. */
export class DatagramSender {
  readonly capacity: number
  readonly #messages: PinnedBuffer
  readonly #parts: PinnedBuffer
  #count = 0

  constructor(capacity = 64) {
    this.capacity = capacity
    this.#messages = new PinnedBuffer(capacity * MESSAGE_BYTES)
    this.#parts = new PinnedBuffer(capacity * PART_BYTES)
    for (let index = 0; index < capacity; index++) {
      const message = index * MESSAGE_BYTES
      setWide(this.#messages.view, message + MESSAGE_PARTS, this.#parts.at(index * PART_BYTES, PART_BYTES))
      setWide(this.#messages.view, message + MESSAGE_PART_COUNT, 1)
    }
  }

  get count(): number {
    return this.#count
  }

  /** Adds a datagram. Its bytes stay where they are until `send()`. Throws RangeError when there is no room. */
  add(buffer: PinnedBuffer, offset: number, length: number): void {
    if (this.#count >= this.capacity) throw new RangeError(`More than ${this.capacity} datagrams of one call`)
    const part = this.#count * PART_BYTES
    setWide(this.#parts.view, part, buffer.at(offset, length))
    this.#parts.view.setUint32(part + PART_LENGTH, length, true)
    this.#count++
  }

  clear(): void {
    this.#count = 0
  }

  /**
   * Sends those from `first` on: how many were taken, or a negative errno when the first of them was not. The caller goes
   * on with the rest, and clears.
   */
  send(fd: number, first = 0): number {
    const messages = this.#messages.at(first * MESSAGE_BYTES, (this.#count - first) * MESSAGE_BYTES)
    for (;;) {
      const count = sendmmsgFunction(fd, messages, this.#count - first, MSG_DONTWAIT | MSG_NOSIGNAL)
      if (count >= 0) return count
      const errno = koffi.errno()
      if (errno !== EINTR) return -errno
    }
  }
}
