// A guest says that a packet of ours was too big for it (ICMP type 3 code 4, RFC 1191; ICMPv6 type 2, RFC 8201): finds the TCP
// flow in the quoted headers, which may lie as much as the guest likes: TCP believes only what fits one of its flows.
import { MAPPED_PREFIX } from '../address.ts'
import type { Frame } from '../frame/frame.ts'
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, PROTOCOL_TCP } from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import { ICMP_HEADER_BYTES } from '../icmp/icmp-layout.ts'
import type { TcpStack } from '../tcp/tcp-stack.ts'

/** Ports and sequence number: what is always quoted. */
const QUOTED_TCP_BYTES = 8

/** Tells TCP of it. `frame` is an ICMP message of at least 8 bytes. */
export function tellTooBig(tcp: TcpStack, port: GuestPort, frame: Frame): void {
  const { view } = frame.buffer
  const packet = frame.transport + ICMP_HEADER_BYTES
  if (frame.isIpv6) {
    const segment = packet + IPV6_HEADER_BYTES
    if (segment + QUOTED_TCP_BYTES > frame.end || view.getUint8(packet + 6) !== PROTOCOL_TCP) return
    tcp.icmpTooBig(
      port,
      view.getInt32(packet + 8),
      view.getInt32(packet + 12),
      view.getInt32(packet + 16),
      view.getInt32(packet + 20),
      view.getUint16(segment + 2),
      view.getUint16(segment),
      view.getInt32(segment + 4),
      view.getUint32(frame.transport + 4),
    )
    return
  }
  if (packet + IPV4_HEADER_BYTES > frame.end) return
  const segment = packet + (view.getUint8(packet) & 15) * 4
  if (segment + QUOTED_TCP_BYTES > frame.end || view.getUint8(packet + 9) !== PROTOCOL_TCP) return
  tcp.icmpTooBig(
    port,
    0,
    0,
    MAPPED_PREFIX,
    view.getInt32(packet + 12),
    view.getUint16(segment + 2),
    view.getUint16(segment),
    view.getInt32(segment + 4),
    view.getUint16(frame.transport + 6),
  )
}
