// A segment from the guest for a flow that there is: the order of checks is that of RFC 9293 §3.10.7.4, with the stricter
// rules for resets, SYNs and acknowledgements of RFC 5961. The frame's lengths were checked by parse-frame.ts. The urgent
// pointer is not looked at: urgent data is data (RFC 6093 §5).
import type { Frame } from '../frame/frame.ts'
import { TCP_HEADER_BYTES } from '../frame/layout.ts'
import { removeFlow } from './flow-life.ts'
import { OutOfOrder } from './out-of-order.ts'
import { onAcknowledged, onDuplicate, onSackBlocks } from './retransmission.ts'
import { establish, takeWindow } from './synchronize.ts'
import { CONNECTING, SYN_RECEIVED, SYN_SENT, type TcpFlow, TIME_WAIT, TIMER_PERSIST } from './tcp-flow.ts'
import {
  ACK,
  ACKNOWLEDGMENT,
  FIN,
  FLAGS,
  OFFSET_AND_FLAGS,
  RST,
  SEQUENCE,
  SYN,
  WINDOW,
} from './tcp-header.ts'
import { ackAtEndOfTurn, sendAck, sendChallengeAck, sendControl, sendResetFor } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'
import { pump, serveWaiting } from './to-guest.ts'
import { deliver, deliverOutOfOrder, endWhenDone, receiveFin } from './to-host.ts'
import { afterOurSyn, inTimeWait, whileConnecting } from './unsynchronized.ts'

export function segmentArrives(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  switch (flow.state) {
    case CONNECTING:
      whileConnecting(tcp, flow, frame)
      return
    case SYN_SENT:
      afterOurSyn(tcp, flow, frame)
      // The client may be gone already.
      endWhenDone(tcp, flow)
      return
    case TIME_WAIT:
      inTimeWait(tcp, flow, frame)
      return
    default:
      whileSynchronized(tcp, flow, frame)
  }
}

/** SYN-RECEIVED and everything after it. */
function whileSynchronized(tcp: TcpResources, flow: TcpFlow, frame: Frame): void {
  const { view } = frame.buffer
  const at = frame.transport
  const flags = view.getUint8(at + FLAGS)
  const sequence = view.getInt32(at + SEQUENCE)
  const headerBytes = (view.getUint8(at + OFFSET_AND_FLAGS) >>> 4) * 4
  const length = frame.end - at - headerBytes
  if (flow.state === SYN_RECEIVED && isOurSynLost(flow, flags, sequence)) {
    sendControl(tcp, flow, SYN | ACK, flow.initialSend)
    return
  }
  if (!isAcceptable(flow, sequence, length + (flags & FIN) + ((flags & SYN) !== 0 ? 1 : 0))) {
    if ((flags & RST) !== 0) return
    flow.port.drop('tcp-unacceptable')
    answerUnacceptable(tcp, flow, sequence, length, flags)
    return
  }
  if ((flags & RST) !== 0) {
    if (sequence === flow.receiveNext) removeFlow(tcp, flow, true)
    else sendChallengeAck(tcp, flow)
    return
  }
  if ((flags & SYN) !== 0) {
    sendChallengeAck(tcp, flow)
    return
  }
  if ((flags & ACK) === 0) return
  const acknowledgment = view.getInt32(at + ACKNOWLEDGMENT)
  if (!takeAcknowledgment(tcp, flow, frame, sequence, acknowledgment, length + (flags & FIN), headerBytes))
    return
  flow.activeAtMs = tcp.context.nowMs
  if (length > 0 || (flags & FIN) !== 0)
    takeData(tcp, flow, frame, sequence, at + headerBytes, length, (flags & FIN) !== 0)
  if (flow.isReadable || flow.sendNext !== flow.store.end) pump(tcp, flow, false)
  if (flow.guest.waitingCount > 0) serveWaiting(tcp, flow.guest)
  endWhenDone(tcp, flow)
}

/** The guest repeats its SYN: it has not seen our answer to it. */
function isOurSynLost(flow: TcpFlow, flags: number, sequence: number): boolean {
  return (flags & (SYN | RST)) === SYN && sequence === flow.initialReceive
}

/**
 * RFC 9293 §3.10.7.4, first check. A segment without length may stand at the right edge: what fills the window is on its
 * way or lost. With the window closed, one at `receiveNext` is let through for its acknowledgement.
 */
function isAcceptable(flow: TcpFlow, sequence: number, length: number): boolean {
  const fromNext = (sequence - flow.receiveNext) | 0
  const fromEdge = (sequence - flow.receiveEdge) | 0
  if (length === 0) return fromNext >= 0 && fromEdge <= 0
  if (fromNext === 0) return true
  return fromEdge < 0 && ((sequence + length - flow.receiveNext) | 0) > 0
}

/** Probes and repetitions are always answered: who sends them waits for it (RFC 9293 §3.8.4, §3.8.6.1). */
function answerUnacceptable(
  tcp: TcpResources,
  flow: TcpFlow,
  sequence: number,
  length: number,
  flags: number,
): void {
  const isProbe = sequence === ((flow.receiveNext - 1) | 0)
  if ((length > 0 || isProbe || (flags & FIN) !== 0) && (flags & SYN) === 0) {
    flow.activeAtMs = tcp.context.nowMs
    ackAtEndOfTurn(tcp, flow)
  } else sendChallengeAck(tcp, flow)
}

/** The ACK field. False where the segment ends here. */
function takeAcknowledgment(
  tcp: TcpResources,
  flow: TcpFlow,
  frame: Frame,
  sequence: number,
  acknowledgment: number,
  length: number,
  headerBytes: number,
): boolean {
  const { view } = frame.buffer
  const at = frame.transport
  const window = view.getUint16(at + WINDOW) << flow.sendWindowShift
  const news = (acknowledgment - flow.sendUnacknowledged) | 0
  const beyond = (acknowledgment - flow.sendMax) | 0
  if (flow.state === SYN_RECEIVED) {
    if (news <= 0 || beyond > 0) {
      sendResetFor(tcp, flow.port, frame)
      return false
    }
    establish(tcp, flow, acknowledgment)
    takeWindow(flow, sequence, acknowledgment, window)
    return true
  }
  if (beyond > 0 || -news > Math.max(flow.largestSendWindow, 65_535)) {
    // For what was never sent, or older than any window (RFC 5961 §5).
    flow.port.drop('tcp-unacceptable')
    sendChallengeAck(tcp, flow)
    return false
  }
  if (news < 0) return true
  const hasSackBlocks = headerBytes > TCP_HEADER_BYTES && flow.hasSack
  if (news > 0) onAcknowledged(tcp, flow, acknowledgment)
  else if (
    length === 0 &&
    flow.sendMax !== flow.sendUnacknowledged &&
    window === flow.sendWindow &&
    !hasSackBlocks
  )
    onDuplicate(tcp, flow)
  const isOpening = window > flow.sendWindow
  if (
    ((flow.windowSequence - sequence) | 0) < 0 ||
    (flow.windowSequence === sequence && ((flow.windowAcknowledgment - acknowledgment) | 0) <= 0)
  ) {
    takeWindow(flow, sequence, acknowledgment, window)
    if (isOpening && flow.timerKind === TIMER_PERSIST) flow.backoff = 0
  }
  // A guest that answers is alive, however long its window stays closed (RFC 1122 §4.2.2.17).
  if (flow.sendWindow === 0) flow.unanswered = 0
  if (hasSackBlocks) onSackBlocks(tcp, flow, view, at + TCP_HEADER_BYTES, at + headerBytes)
  return true
}

/** The text and the FIN of a segment whose beginning or end lies in the window. */
function takeData(
  tcp: TcpResources,
  flow: TcpFlow,
  frame: Frame,
  sequence: number,
  payload: number,
  length: number,
  hasFin: boolean,
): void {
  const end = (sequence + length) | 0
  if (hasFin && !flow.isFinKnown && ((end - flow.receiveEdge) | 0) <= 0) {
    flow.isFinKnown = true
    flow.finSequence = end
  }
  if (flow.isFinReceived) {
    ackAtEndOfTurn(tcp, flow)
    return
  }
  // Cut to what is missing and to the window; nothing follows a FIN.
  let limit = flow.receiveEdge
  if (flow.isFinKnown && ((flow.finSequence - limit) | 0) < 0) limit = flow.finSequence
  const over = (end - limit) | 0
  const usable = over > 0 ? length - over : length
  const skip = (flow.receiveNext - sequence) | 0
  if (skip < 0) {
    // A gap: kept, and told at once (RFC 9293 §3.10.7.4, RFC 5681 §4.2).
    if (usable > 0) {
      flow.outOfOrder ??= new OutOfOrder(tcp.outOfOrderPool, flow.guest.outOfOrder)
      flow.outOfOrder.insert(sequence, frame.buffer, payload, usable)
      if (flow.outOfOrder.isEmpty) flow.outOfOrder = undefined
    }
    sendAck(tcp, flow)
    return
  }
  if (usable > skip) deliver(tcp, flow, frame.buffer, payload + skip, usable - skip)
  if (flow.outOfOrder !== undefined) deliverOutOfOrder(tcp, flow)
  receiveFin(tcp, flow)
  ackAtEndOfTurn(tcp, flow)
}
