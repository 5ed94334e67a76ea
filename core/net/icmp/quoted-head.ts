// The head of a packet that is long gone, put together again from its flow: what an ICMP error quotes, so that the guest's
// kernel finds the socket that it is about (RFC 792, RFC 4443 §2.4 (c)).
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import { fold, internetSum } from '../frame/checksum.ts'
import {
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
} from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import type { QuotedPacket } from './icmp-errors.ts'
import { ICMP_ECHO, ICMPV6_ECHO } from './icmp-layout.ts'

/** Of the transport header. */
export const QUOTED_TRANSPORT_BYTES = 8
/** It was about to be dropped. */
const HOP_LIMIT = 1

export function isIpv6Packet(packet: QuotedPacket): boolean {
  return packet.remote0 !== 0 || packet.remote1 !== 0 || packet.remote2 !== MAPPED_PREFIX
}

/**
 * Writes the IP header and the first eight bytes of the transport's into `target` at `at`, of a packet from the guest with
 * `payloadBytes` more. Returns how many bytes that is.
 */
export function writeQuotedHead(
  target: PinnedBuffer,
  port: GuestPort,
  packet: QuotedPacket,
  at: number,
  isIpv6: boolean,
  payloadBytes: number,
): number {
  const { view } = target
  const headerBytes = isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES
  const transport = at + headerBytes
  const transportBytes = QUOTED_TRANSPORT_BYTES + payloadBytes
  if (isIpv6) {
    const { ipv6 } = port
    view.setUint32(at, 0x6000_0000)
    view.setUint16(at + 4, transportBytes)
    view.setUint8(at + 6, packet.protocol)
    view.setUint8(at + 7, HOP_LIMIT)
    view.setInt32(at + 8, ipv6[0])
    view.setInt32(at + 12, ipv6[1])
    view.setInt32(at + 16, ipv6[2])
    view.setInt32(at + 20, ipv6[3])
    view.setInt32(at + 24, packet.remote0)
    view.setInt32(at + 28, packet.remote1)
    view.setInt32(at + 32, packet.remote2)
    view.setInt32(at + 36, packet.remote3)
  } else {
    view.setUint16(at, 0x4500)
    view.setUint16(at + 2, IPV4_HEADER_BYTES + transportBytes)
    view.setUint16(at + 4, 0)
    view.setUint16(at + 6, 0x4000)
    view.setUint8(at + 8, HOP_LIMIT)
    view.setUint8(at + 9, packet.protocol)
    view.setUint16(at + 10, 0)
    view.setInt32(at + 12, port.ipv4)
    view.setInt32(at + 16, packet.remote3)
    view.setUint16(at + 10, ~fold(internetSum(target, at, IPV4_HEADER_BYTES)) & 0xffff)
  }
  quoteTransport(target, transport, packet, isIpv6, transportBytes)
  return headerBytes + QUOTED_TRANSPORT_BYTES
}

function quoteTransport(
  target: PinnedBuffer,
  at: number,
  packet: QuotedPacket,
  isIpv6: boolean,
  transportBytes: number,
): void {
  const { view } = target
  if (packet.protocol === PROTOCOL_ICMP || packet.protocol === PROTOCOL_ICMPV6) {
    // An echo request: identifier and sequence number.
    view.setUint16(at, (isIpv6 ? ICMPV6_ECHO : ICMP_ECHO) << 8)
    view.setUint16(at + 2, 0)
    view.setUint16(at + 4, packet.guestPort)
    view.setUint16(at + 6, packet.sequence)
    return
  }
  view.setUint16(at, packet.guestPort)
  view.setUint16(at + 2, packet.remotePort)
  if (packet.protocol === PROTOCOL_TCP) {
    view.setInt32(at + 4, packet.sequence)
    return
  }
  view.setUint16(at + 4, transportBytes)
  view.setUint16(at + 6, 0)
}
