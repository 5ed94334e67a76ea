// What ICMP said about datagrams of a socket: the error queue that IP_RECVERR and IPV6_RECVERR switch on.
// Sources: ip(7), ipv6(7), linux/errqueue.h (struct sock_extended_err); layouts of x86-64 Linux.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import {
  ADDRESS_BYTES,
  CONTROL_HEADER_BYTES,
  CONTROL_LEVEL,
  CONTROL_TYPE,
  MESSAGE_CONTROL,
  MESSAGE_CONTROL_BYTES,
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
import { MSG_DONTWAIT, setSocketOption } from './socket.ts'
import { readSocketAddress, SocketAddress } from './socket-address.ts'

const library = koffi.load('libc.so.6')
const recvmsgFunction: KoffiFunc<(fd: number, message: number, flags: number) => number> = library.func(
  'intptr_t recvmsg(int fd, uintptr_t message, int flags)',
)

const MSG_ERRQUEUE = 0x2000
const IPPROTO_IP = 0
const IP_RECVERR = 11
const IPPROTO_IPV6 = 41
const IPV6_RECVERR = 25
/** Of sock_extended_err: who found the fault. */
export const ORIGIN_LOCAL = 1
export const ORIGIN_ICMP = 2
export const ORIGIN_ICMPV6 = 3

/** One pinned block: struct msghdr, struct iovec, the address, the quoted payload, the control messages. */
const PART_AT = 64
const NAME_AT = PART_AT + PART_BYTES
const PAYLOAD_AT = NAME_AT + ADDRESS_BYTES
const PAYLOAD_BYTES = 1280
const CONTROL_AT = PAYLOAD_AT + PAYLOAD_BYTES
const CONTROL_BYTES = 256
const EXTENDED_ERROR_BYTES = 16

/** Switches the error queue of a socket on: 0 or a negative errno. */
export function enableErrorQueue(fd: number, isIpv6: boolean): number {
  return isIpv6
    ? setSocketOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 1)
    : setSocketOption(fd, IPPROTO_IP, IP_RECVERR, 1)
}

/** Reads error queues, one error at a time, into its fields. */
export class ErrorQueue {
  errno = 0
  /** ORIGIN_LOCAL, ORIGIN_ICMP, ORIGIN_ICMPV6. */
  origin = 0
  type = 0
  code = 0
  /** With EMSGSIZE the MTU. */
  info = 0
  /** Where the datagram was sent to. */
  readonly destination = new SocketAddress()
  /** Who sent the ICMP message; only while `hasOffender`. */
  readonly offender = new SocketAddress()
  hasOffender = false
  /** How much of the datagram's own payload ICMP quoted. It is in `payload` from `payloadOffset` on. */
  payloadBytes = 0
  readonly payloadOffset = PAYLOAD_AT

  readonly #block = new PinnedBuffer(CONTROL_AT + CONTROL_BYTES)

  get payload(): PinnedBuffer {
    return this.#block
  }

  /** After `take()` of a ping socket: the sequence number of the echo request, which its payload begins with (icmp(7)). */
  get quotedSequence(): number {
    return this.payloadBytes >= 8 ? this.#block.view.getUint16(PAYLOAD_AT + 6) : 0
  }

  constructor() {
    const { view } = this.#block
    setWide(view, MESSAGE_NAME, this.#block.at(NAME_AT, ADDRESS_BYTES))
    setWide(view, MESSAGE_PARTS, this.#block.at(PART_AT, PART_BYTES))
    setWide(view, MESSAGE_PART_COUNT, 1)
    setWide(view, MESSAGE_CONTROL, this.#block.at(CONTROL_AT, CONTROL_BYTES))
    setWide(view, PART_AT, this.#block.at(PAYLOAD_AT, PAYLOAD_BYTES))
    setWide(view, PART_AT + PART_LENGTH, PAYLOAD_BYTES)
  }

  /** Takes the next error: true with all fields set, false when there is none. */
  take(fd: number): boolean {
    const { view, address } = this.#block
    for (;;) {
      view.setUint32(MESSAGE_NAME_BYTES, ADDRESS_BYTES, true)
      setWide(view, MESSAGE_CONTROL_BYTES, CONTROL_BYTES)
      view.setUint16(NAME_AT, 0, true)
      const count = recvmsgFunction(fd, address, MSG_ERRQUEUE | MSG_DONTWAIT)
      if (count < 0) {
        if (koffi.errno() === EINTR) continue
        return false
      }
      this.payloadBytes = count
      // A message without an error of ours (a time stamp, say) is not one: go on to the next.
      if (this.#readControl(Math.min(CONTROL_BYTES, view.getUint32(MESSAGE_CONTROL_BYTES, true)))) {
        readSocketAddress(this.#block, this.destination, NAME_AT)
        return true
      }
    }
  }

  #readControl(lengthBytes: number): boolean {
    const { view } = this.#block
    const end = CONTROL_AT + lengthBytes
    for (let at = CONTROL_AT; at + CONTROL_HEADER_BYTES <= end; ) {
      const length = view.getUint32(at, true)
      if (length < CONTROL_HEADER_BYTES || at + length > end) return false
      const level = view.getInt32(at + CONTROL_LEVEL, true)
      const type = view.getInt32(at + CONTROL_TYPE, true)
      const isError =
        (level === IPPROTO_IP && type === IP_RECVERR) || (level === IPPROTO_IPV6 && type === IPV6_RECVERR)
      if (isError && length >= CONTROL_HEADER_BYTES + EXTENDED_ERROR_BYTES) {
        const data = at + CONTROL_HEADER_BYTES
        this.errno = view.getUint32(data, true)
        this.origin = view.getUint8(data + 4)
        this.type = view.getUint8(data + 5)
        this.code = view.getUint8(data + 6)
        this.info = view.getUint32(data + 8, true)
        const offenderBytes = length - CONTROL_HEADER_BYTES - EXTENDED_ERROR_BYTES
        this.hasOffender =
          offenderBytes >= 16 && readSocketAddress(this.#block, this.offender, data + EXTENDED_ERROR_BYTES)
        return true
      }
      at += paddedControlBytes(length)
    }
    return false
  }
}
