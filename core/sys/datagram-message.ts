// One datagram with an address or an option of its own, by sendmsg(2): to a client of a socket that is not connected, with
// a hop limit, from a certain local address, or as a train of segments (UDP_SEGMENT).
// Sources: sendmsg(2), cmsg(3), ip(7), ipv6(7), udp(7); layouts of x86-64 Linux.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { MSG_DONTWAIT, MSG_NOSIGNAL } from './socket.ts'
import { isMappedWords, writeSocketAddress } from './socket-address.ts'

const library = koffi.load('libc.so.6')
const sendmsgFunction: KoffiFunc<(fd: number, message: number, flags: number) => number> = library.func(
  'intptr_t sendmsg(int fd, uintptr_t message, int flags)',
)

/** One pinned block: struct msghdr, two struct iovec, the control messages. */
const HEADER_BYTES = 56
const PARTS_AT = 64
const NAME_BYTES = 32
const CONTROL_AT = 96
const CONTROL_BYTES = 128
const CONTROL_HEADER_BYTES = 16

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
  readonly #name = new PinnedBuffer(NAME_BYTES)
  #controlBytes = 0

  /** Begins anew: no address, no options. */
  clear(): void {
    const { view } = this.#block
    this.#setWide(0, 0)
    view.setUint32(8, 0, true)
    this.#controlBytes = 0
  }

  to(word0: number, word1: number, word2: number, word3: number, port: number): void {
    const nameBytes = writeSocketAddress(this.#name, word0, word1, word2, word3, port)
    this.#setWide(0, this.#name.address)
    this.#block.view.setUint32(8, nameBytes, true)
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
    this.#setWide(PARTS_AT, head.at(headOffset, headBytes))
    this.#setWide(PARTS_AT + 8, headBytes)
    this.#setWide(PARTS_AT + 16, payload.at(payloadOffset, payloadBytes))
    this.#setWide(PARTS_AT + 24, payloadBytes)
    this.#setWide(16, address + PARTS_AT)
    this.#setWide(24, 2)
    this.#setWide(32, this.#controlBytes === 0 ? 0 : address + CONTROL_AT)
    this.#setWide(40, this.#controlBytes)
    view.setUint32(48, 0, true)
    for (;;) {
      const count = sendmsgFunction(fd, this.#block.at(0, HEADER_BYTES), MSG_DONTWAIT | MSG_NOSIGNAL)
      if (count >= 0) return count
      const errno = koffi.errno()
      if (errno !== EINTR) return -errno
    }
  }

  /** Adds a zeroed control message: where its data goes. */
  #control(level: number, type: number, dataBytes: number): number {
    const at = CONTROL_AT + this.#controlBytes
    const paddedBytes = (CONTROL_HEADER_BYTES + dataBytes + 7) & ~7
    if (this.#controlBytes + paddedBytes > CONTROL_BYTES)
      throw new RangeError('More options than a datagram has')
    this.#block.bytes.fill(0, at, at + paddedBytes)
    this.#setWide(at, CONTROL_HEADER_BYTES + dataBytes)
    this.#block.view.setInt32(at + 8, level, true)
    this.#block.view.setInt32(at + 12, type, true)
    this.#controlBytes += paddedBytes
    return at + CONTROL_HEADER_BYTES
  }

  /** A pointer or a size_t, written as two halves. */
  #setWide(offset: number, value: number): void {
    this.#block.view.setUint32(offset, value >>> 0, true)
    this.#block.view.setUint32(offset + 4, Math.floor(value / 4_294_967_296), true)
  }
}
