// Segments for flows that have no synchronized connection: the host's is not made yet, the guest answers a connection from
// the host, or both sides have closed. RFC 9293 §3.10.7.3, §3.10.7.4.
import type { Frame } from '../frame/frame.ts'
import { removeFlow } from './flow-life.ts'
import { takeSynOptions } from './syn.ts'
import { establish, takeWindow } from './synchronize.ts'
import { SYN_RECEIVED, type TcpFlow } from './tcp-flow.ts'
import { ACK, ACKNOWLEDGMENT, FIN, FLAGS, RST, SEQUENCE, SYN, WINDOW } from './tcp-header.ts'
import { sendAck, sendChallengeAck, sendControl, sendResetFor } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'
import { pump } from './to-guest.ts'

const FIN_REPEATED_MS = 1_000

/** The host's connection is not there yet, so there was no answer to the guest's SYN. */
export function whileConnecting(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  const { view } = frame.buffer
  const at = frame.transport
  const flags = view.getUint8(at + FLAGS)
  const sequence = view.getInt32(at + SEQUENCE)
  if ((flags & RST) !== 0) {
    if (sequence === flow.receiveNext || sequence === flow.initialReceive) removeFlow(tcp, flow, true)
    return
  }
  // The same SYN again needs no second socket; another one replaces it: nothing was promised to the first.
  if ((flags & (SYN | ACK)) !== SYN || sequence === flow.initialReceive) return
  flow.initialReceive = sequence
  flow.receiveNext = (sequence + 1) | 0
  flow.receiveEdge = flow.receiveNext
  takeSynOptions(tcp, flow, frame)
}

/** SYN-SENT (RFC 9293 §3.10.7.3): the guest answers a connection from the host. */
export function afterOurSyn(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  const { view } = frame.buffer
  const at = frame.transport
  const flags = view.getUint8(at + FLAGS)
  const acknowledgment = view.getInt32(at + ACKNOWLEDGMENT)
  const isAck = (flags & ACK) !== 0
  if (isAck && acknowledgment !== flow.sendMax) {
    sendResetFor(tcp, flow.port, frame)
    return
  }
  if ((flags & RST) !== 0) {
    if (isAck) removeFlow(tcp, flow, true)
    return
  }
  if ((flags & SYN) === 0) return
  flow.initialReceive = view.getInt32(at + SEQUENCE)
  flow.receiveNext = (flow.initialReceive + 1) | 0
  flow.receiveEdge = flow.receiveNext
  flow.acknowledged = flow.receiveNext
  takeSynOptions(tcp, flow, frame)
  if (!isAck) {
    // Both sides opened at once (RFC 9293 §3.5, figure 7).
    flow.state = SYN_RECEIVED
    sendControl(tcp, flow, SYN | ACK, flow.initialSend)
    return
  }
  establish(tcp, flow, acknowledgment)
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  takeWindow(flow, flow.initialReceive, acknowledgment, view.getUint16(at + WINDOW))
  sendAck(tcp, flow)
  pump(tcp, flow, false)
}

/** We closed first and have the guest's FIN: only its repetition means anything, or a new connection. */
export function inTimeWait(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  const { view } = frame.buffer
  const at = frame.transport
  const flags = view.getUint8(at + FLAGS)
  const sequence = view.getInt32(at + SEQUENCE)
  if ((flags & RST) !== 0) {
    if (sequence === flow.receiveNext) removeFlow(tcp, flow, false)
    return
  }
  if ((flags & FIN) !== 0) tcp.context.timers.start(flow.lifeTimer, tcp.context.nowMs + FIN_REPEATED_MS)
  if (sequence !== flow.receiveNext || (flags & (SYN | FIN)) !== 0) sendChallengeAck(tcp, flow)
}
