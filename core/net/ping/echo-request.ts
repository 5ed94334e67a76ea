// An echo request as it leaves the host: the guest's, with another identifier.

import type { DatagramMessage } from '../../sys/datagram-message.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { fold, internetSum } from '../frame/checksum.ts'
import type { Frame } from '../frame/frame.ts'
import {
  ICMP_CHECKSUM,
  ICMP_ECHO,
  ICMP_HEADER_BYTES,
  ICMP_IDENTIFIER,
  ICMP_SEQUENCE,
  ICMPV6_ECHO,
} from '../icmp/icmp-layout.ts'

/** A guest's own hop limit counts from here down; above, the host's kernel has its own. */
const DEFAULT_HOP_LIMIT = 64

export class EchoRequest {
  readonly #head = new PinnedBuffer(ICMP_HEADER_BYTES)

  /**
   * Sends the request in `frame` through `fd`, as `message` says to whom. Its length is the frame's. 0 or a negative errno.
   */
  send(fd: number, message: DatagramMessage, frame: Frame, identifier: number): number {
    const { view } = this.#head
    const payload = frame.transport + ICMP_HEADER_BYTES
    const payloadBytes = frame.end - payload
    view.setUint8(0, frame.isIpv6 ? ICMPV6_ECHO : ICMP_ECHO)
    view.setUint8(1, 0)
    view.setUint16(ICMP_CHECKSUM, 0)
    view.setUint16(ICMP_IDENTIFIER, identifier)
    view.setUint16(ICMP_SEQUENCE, frame.buffer.view.getUint16(frame.transport + ICMP_SEQUENCE))
    // Of ICMPv6 the kernel fills it in, which alone knows the source address.
    if (!frame.isIpv6) {
      const sum = internetSum(this.#head, 0, ICMP_HEADER_BYTES)
      view.setUint16(ICMP_CHECKSUM, ~fold(internetSum(frame.buffer, payload, payloadBytes, sum)) & 0xffff)
    }
    if (frame.hopLimit < DEFAULT_HOP_LIMIT) message.hopLimit(frame.isIpv6, frame.hopLimit - 1)
    const taken = message.send(fd, this.#head, 0, ICMP_HEADER_BYTES, frame.buffer, payload, payloadBytes)
    return taken < 0 ? taken : 0
  }
}
