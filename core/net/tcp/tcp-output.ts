// Segments to the guest: the header of each is built in the loop's transmit buffer, the payload leaves from where it lies.
// Every segment carries the newest acknowledgement, window and SACK blocks. RFC 9293 §3.8.6.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { Frame } from '../frame/frame.ts'
import {
  GSO_TCPV4,
  GSO_TCPV6,
  IPV4_HEADER_BYTES,
  NETWORK,
  PROTOCOL_TCP,
  TCP_HEADER_BYTES,
} from '../frame/layout.ts'
import { setPartialChecksum, setSegmentation, writeNetworkHeaders } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import type { TcpFlow } from './tcp-flow.ts'
import {
  ACK,
  ACKNOWLEDGMENT,
  CHECKSUM,
  DESTINATION_PORT,
  FIN,
  FLAGS,
  IPV4_TCP_BYTES,
  IPV6_TCP_BYTES,
  MAX_UNSCALED_WINDOW,
  OFFSET_AND_FLAGS,
  RST,
  SEQUENCE,
  SOURCE_PORT,
  SYN,
  URGENT_POINTER,
  WINDOW,
} from './tcp-header.ts'
import { writeSackBlocks, writeSynOptions } from './tcp-options.ts'
import type { TcpResources } from './tcp-resources.ts'

/** Per flow and second: an answer to a forged segment must not become a flood (RFC 5961 §7). */
const CHALLENGES_PER_SECOND = 10

/**
 * Sends a segment with `length` bytes of `payload`. False when the guest's device is full: what waits for it is told. A
 * frame that the device refuses for another reason is one lost on its way: nobody would say when to try again.
 */
export function sendSegment(
  tcp: TcpResources,
  flow: TcpFlow,
  sequence: number,
  flags: number,
  payload: PinnedBuffer,
  offset: number,
  length: number,
): boolean {
  const target = tcp.context.transmit
  const { view } = target
  const isSyn = (flags & SYN) !== 0
  const { outOfOrder } = flow
  let sackCount = 0
  if (outOfOrder !== undefined && flow.hasSack && (flags & (SYN | RST)) === 0)
    sackCount = outOfOrder.sackBlocks(tcp.sackEdges)
  const at = flow.isIpv6 ? NETWORK + 40 : NETWORK + IPV4_HEADER_BYTES
  let headerBytes = TCP_HEADER_BYTES
  if (isSyn)
    headerBytes += writeSynOptions(
      view,
      at + TCP_HEADER_BYTES,
      flow.port.mtu - (flow.isIpv6 ? IPV6_TCP_BYTES : IPV4_TCP_BYTES),
      flow.receiveWindowShift,
      flow.hasSack,
    )
  else if (sackCount > 0)
    headerBytes += writeSackBlocks(view, at + TCP_HEADER_BYTES, tcp.sackEdges, sackCount)
  const transportBytes = headerBytes + length
  writeNetworkHeaders(
    target,
    flow.port,
    tcp.gatewayMac,
    flow.remote0,
    flow.remote1,
    flow.remote2,
    flow.remote3,
    PROTOCOL_TCP,
    transportBytes,
  )
  view.setUint16(at + SOURCE_PORT, flow.remotePort)
  view.setUint16(at + DESTINATION_PORT, flow.guestPort)
  view.setInt32(at + SEQUENCE, sequence)
  view.setInt32(at + ACKNOWLEDGMENT, (flags & ACK) !== 0 ? flow.receiveNext : 0)
  view.setUint16(at + OFFSET_AND_FLAGS, (headerBytes << 10) | flags)
  view.setUint16(at + WINDOW, (flags & RST) !== 0 ? 0 : windowField(tcp, flow, isSyn))
  view.setUint16(at + URGENT_POINTER, 0)
  setPartialChecksum(target, at, CHECKSUM, transportBytes, PROTOCOL_TCP)
  // Options take from the payload of each segment (RFC 9293 §3.7.1).
  const segmentBytes = flow.mss - (headerBytes - TCP_HEADER_BYTES)
  if (length > segmentBytes)
    setSegmentation(target, flow.isIpv6 ? GSO_TCPV6 : GSO_TCPV4, at + headerBytes, segmentBytes)
  if (!flow.port.send(target, at + headerBytes, payload, offset, length) && !flow.port.isWritable)
    return false
  if ((flags & ACK) !== 0) {
    flow.acknowledged = flow.receiveNext
    flow.isAckDue = false
  }
  return true
}

/** Sends a segment without payload. */
export function sendControl(tcp: TcpResources, flow: TcpFlow, flags: number, sequence: number): boolean {
  return sendSegment(tcp, flow, sequence, flags, tcp.context.transmit, 0, 0)
}

/** Acknowledges what was received; when the device is full, as soon as it is not. */
export function sendAck(tcp: TcpResources, flow: TcpFlow): void {
  if (sendControl(tcp, flow, ACK, flow.sendNext)) return
  flow.isAckDue = true
  flow.guest.wait(flow)
}

/** Acknowledges at the end of this turn. */
export function ackAtEndOfTurn(tcp: TcpResources, flow: TcpFlow): void {
  flow.isAckDue = true
  tcp.context.due(flow)
}

/** The answer to what may be forged (RFC 5961): an acknowledgement, so many a second. */
export function sendChallengeAck(tcp: TcpResources, flow: TcpFlow): void {
  const { nowMs } = tcp.context
  if (nowMs - flow.challengesFromMs >= 1_000) {
    flow.challengesFromMs = nowMs
    flow.challenges = 0
  }
  if (flow.challenges >= CHALLENGES_PER_SECOND) return
  flow.challenges++
  sendControl(tcp, flow, ACK, flow.sendNext)
}

/** How much the guest may send beyond what is acknowledged: the window less what waits for the host's socket. */
export function receiveRoom(tcp: TcpResources, flow: TcpFlow): number {
  const limit =
    flow.receiveWindowShift < 0
      ? Math.min(tcp.limits.windowBytes, MAX_UNSCALED_WINDOW)
      : tcp.limits.windowBytes
  const waiting = flow.waiting === undefined ? 0 : flow.waiting.sizeBytes
  return waiting >= limit ? 0 : limit - waiting
}

/** The window field. The edge moves on by a segment or half the window at least (RFC 9293 §3.8.6.2.2). */
function windowField(tcp: TcpResources, flow: TcpFlow, isSyn: boolean): number {
  const room = receiveRoom(tcp, flow)
  const gain = (flow.receiveNext + room - flow.receiveEdge) | 0
  if (gain >= flow.mss || gain >= tcp.limits.windowBytes >>> 1 || isSyn)
    flow.receiveEdge = (flow.receiveNext + room) | 0
  const window = Math.max(0, (flow.receiveEdge - flow.receiveNext) | 0)
  if (isSyn || flow.receiveWindowShift < 0) return Math.min(window, MAX_UNSCALED_WINDOW)
  return Math.min(window >>> flow.receiveWindowShift, MAX_UNSCALED_WINDOW)
}

/** Answers a segment of no flow, or one that no flow may have, with a reset (RFC 9293 §3.5.2, §3.10.7.1). */
export function sendResetFor(tcp: TcpResources, port: GuestPort, frame: Frame): void {
  const segment = frame.buffer.view
  const from = frame.transport
  const flags = segment.getUint8(from + FLAGS)
  if ((flags & RST) !== 0) return
  const target = tcp.context.transmit
  const { view } = target
  const at = writeNetworkHeaders(
    target,
    port,
    tcp.gatewayMac,
    frame.destination0,
    frame.destination1,
    frame.destination2,
    frame.destination3,
    PROTOCOL_TCP,
    TCP_HEADER_BYTES,
  )
  view.setUint16(at + SOURCE_PORT, segment.getUint16(from + DESTINATION_PORT))
  view.setUint16(at + DESTINATION_PORT, segment.getUint16(from + SOURCE_PORT))
  if ((flags & ACK) !== 0) {
    view.setInt32(at + SEQUENCE, segment.getInt32(from + ACKNOWLEDGMENT))
    view.setInt32(at + ACKNOWLEDGMENT, 0)
    view.setUint16(at + OFFSET_AND_FLAGS, (TCP_HEADER_BYTES << 10) | RST)
  } else {
    const headerBytes = (segment.getUint8(from + OFFSET_AND_FLAGS) >>> 4) * 4
    const length =
      frame.end - from - headerBytes + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0)
    view.setInt32(at + SEQUENCE, 0)
    view.setInt32(at + ACKNOWLEDGMENT, (segment.getInt32(from + SEQUENCE) + length) | 0)
    view.setUint16(at + OFFSET_AND_FLAGS, (TCP_HEADER_BYTES << 10) | RST | ACK)
  }
  view.setUint32(at + WINDOW, 0)
  view.setUint16(at + URGENT_POINTER, 0)
  setPartialChecksum(target, at, CHECKSUM, TCP_HEADER_BYTES, PROTOCOL_TCP)
  port.send(target, at + TCP_HEADER_BYTES)
}
