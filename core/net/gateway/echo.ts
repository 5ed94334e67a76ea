// The gateway's own answer to a ping (RFC 792, RFC 4443 §4.2). Its length is that of the frame that was received, whatever a
// header says, and its payload is sent from where it was received.

import type { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import { ICMP_ECHO_REPLY, ICMP_HEADER_BYTES, ICMPV6_ECHO_REPLY } from '../icmp/icmp-layout.ts'

/** Answers the echo request in hand from the address it was sent to. False when the guest's device took no more. */
export function answerEcho(port: GuestPort, frame: Frame, writer: DatagramWriter): boolean {
  const { view } = frame.buffer
  const payloadBytes = frame.end - frame.transport - ICMP_HEADER_BYTES
  const transport = writer.begin(frame.isIpv6)
  const head = writer.target.view
  head.setUint8(transport, frame.isIpv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)
  head.setUint8(transport + 1, 0)
  head.setUint16(transport + 2, 0)
  head.setUint32(transport + 4, view.getUint32(frame.transport + 4))
  writer.setDestination(frame.source0, frame.source1, frame.source2, frame.source3)
  return writer.send(
    port,
    frame.destination0,
    frame.destination1,
    frame.destination2,
    frame.destination3,
    frame.isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP,
    ICMP_HEADER_BYTES,
    frame.buffer,
    frame.transport + ICMP_HEADER_BYTES,
    payloadBytes,
  )
}
