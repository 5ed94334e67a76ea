// One datagram with an address or an option of its own, by sendmsg(2): to a client of a socket that is not connected, with
// a hop limit, from a certain local address, or as a train of segments (UDP_SEGMENT).
// Sources: sendmsg(2), cmsg(3), ip(7), ipv6(7), udp(7); layouts of x86-64 Linux.
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
  MESSAGE_HEADER_BYTES,
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
import { isMappedWords, writeSocketAddress } from './socket-address.ts'

const library = koffi.load('libc.so.6')
const sendmsgFunction: KoffiFunc<(fd: number, message: number, flags: number) => number> = library.func(
  'intptr_t sendmsg(int fd, uintptr_t message, int flags)',
)

/** One pinned block: struct msghdr, two struct iovec, the control messages. */
const PARTS_AT = 64
const CONTROL_AT = PARTS_AT + 2 * PART_BYTES
const CONTROL_BYTES = 128

const IPPROTO_IP = 0
const IP_TTL = 2
const IP_PKTINFO = 8
const IPPROTO_UDP = 17
const UDP_SEGMENT = 103
const IPPROTO_IPV6 = 41
const IPV6_PKTINFO = 50
const IPV6_HOPLIMIT = 52

/** A datagram to be described and sent, used again for each. */
export class DatagramMessage {
  readonly #block = new PinnedBuffer(CONTROL_AT + CONTROL_BYTES)
  readonly #name = new PinnedBuffer(ADDRESS_BYTES)
  #controlBytes = 0

  /** Begins anew: no address, no options. */
  clear(): void {
    const { view } = this.#block
    setWide(view, MESSAGE_NAME, 0)
    view.setUint32(MESSAGE_NAME_BYTES, 0, true)
    this.#controlBytes = 0
  }

  to(word0: number, word1: number, word2: number, word3: number, port: number): void {
    const nameBytes = writeSocketAddress(this.#name, word0, word1, word2, word3, port)
    setWide(this.#block.view, MESSAGE_NAME, this.#name.address)
    this.#block.view.setUint32(MESSAGE_NAME_BYTES, nameBytes, true)
  }

  /** The hop limit of this datagram. */
  hopLimit(isIpv6: boolean, value: number): void {
    const data = isIpv6 ? this.#control(IPPROTO_IPV6, IPV6_HOPLIMIT, 4) : this.#control(IPPROTO_IP, IP_TTL, 4)
    this.#block.view.setInt32(data, value, true)
  }

  /** The local address it leaves from. */
  from(word0: number, word1: number, word2: number, word3: number): void {
    const { view } = this.#block
    if (isMappedWords(word0, word1, word2)) {
      const data = this.#control(IPPROTO_IP, IP_PKTINFO, 12)
      view.setInt32(data + 4, word3)
      return
    }
    const data = this.#control(IPPROTO_IPV6, IPV6_PKTINFO, 20)
    view.setInt32(data, word0)
    view.setInt32(data + 4, word1)
    view.setInt32(data + 8, word2)
    view.setInt32(data + 12, word3)
  }

  /** The payload is a train of datagrams of this many bytes each, the last may be shorter. */
  segments(sizeBytes: number): void {
    const data = this.#control(IPPROTO_UDP, UDP_SEGMENT, 2)
    this.#block.view.setUint16(data, sizeBytes, true)
  }

  /** Sends two parts as one datagram (the first may be empty). Bytes taken, or a negative errno. */
  send(
    fd: number,
    head: PinnedBuffer,
    headOffset: number,
    headBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number {
    const { view, address } = this.#block
    setWide(view, PARTS_AT, head.at(headOffset, headBytes))
    setWide(view, PARTS_AT + PART_LENGTH, headBytes)
    setWide(view, PARTS_AT + PART_BYTES, payload.at(payloadOffset, payloadBytes))
    setWide(view, PARTS_AT + PART_BYTES + PART_LENGTH, payloadBytes)
    setWide(view, MESSAGE_PARTS, address + PARTS_AT)
    setWide(view, MESSAGE_PART_COUNT, 2)
    setWide(view, MESSAGE_CONTROL, this.#controlBytes === 0 ? 0 : address + CONTROL_AT)
    setWide(view, MESSAGE_CONTROL_BYTES, this.#controlBytes)
    view.setUint32(MESSAGE_FLAGS, 0, true)
    for (;;) {
      const count = sendmsgFunction(fd, this.#block.at(0, MESSAGE_HEADER_BYTES), MSG_DONTWAIT | MSG_NOSIGNAL)
      if (count >= 0) return count
      const errno = koffi.errno()
      if (errno !== EINTR) return -errno
    }
  }

  /** Adds a zeroed control message: where its data goes. */
  #control(level: number, type: number, dataBytes: number): number {
    const at = CONTROL_AT + this.#controlBytes
    const paddedBytes = paddedControlBytes(CONTROL_HEADER_BYTES + dataBytes)
    if (this.#controlBytes + paddedBytes > CONTROL_BYTES)
      throw new RangeError('More options than a datagram has')
    this.#block.bytes.fill(0, at, at + paddedBytes)
    setWide(this.#block.view, at, CONTROL_HEADER_BYTES + dataBytes)
    this.#block.view.setInt32(at + CONTROL_LEVEL, level, true)
    this.#block.view.setInt32(at + CONTROL_TYPE, type, true)
    this.#controlBytes += paddedBytes
    return at + CONTROL_HEADER_BYTES
  }
}
