// Sending again what was lost on the way to the guest: after the timeout (RFC 6298 §5), at the third duplicate
// acknowledgement or by what SACK blocks show (RFC 6675), and a probe of the tail (RFC 8985 §7). The way is one hop and its
// bounds are the guest's window and budget, so there is no congestion control but this: after a timeout, whose cause is a
// ring that overflowed, sending begins again with one frame and doubles.
import { chargeInFlight, resetFlow } from './flow-life.ts'
import {
  MAX_TIMEOUT_MS,
  restartTimer,
  sampleRoundTrip,
  setTimer,
  startPersistTimer,
  stopTiming,
  timeoutMs,
} from './retransmit-timer.ts'
import { SackScoreboard } from './sack-scoreboard.ts'
import {
  ESTABLISHED,
  SYN_RECEIVED,
  SYN_SENT,
  type TcpFlow,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_RETRANSMIT,
  TIMER_TAIL_PROBE,
} from './tcp-flow.ts'
import { ACK, FIN, PSH, SYN } from './tcp-header.ts'
import { readSackBlocks } from './tcp-options.ts'
import { sendControl, sendSegment } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'
import { largestPayload, pump } from './to-guest.ts'

const DUPLICATES = 3
/** Frames sent again at one acknowledgement. */
const FRAMES_PER_ACK = 4
const MAX_UNANSWERED = 8
const MAX_UNANSWERED_MS = 100_000

/** The flow's timer fired. */
export function onRetransmitTimer(tcp: TcpResources, flow: TcpFlow): void {
  const kind = flow.timerKind
  if (kind === TIMER_NONE) return
  const { nowMs } = tcp.context
  if (nowMs < flow.timerDueMs) {
    tcp.context.timers.start(flow.retransmitTimer, flow.timerDueMs)
    return
  }
  flow.timerKind = TIMER_NONE
  if (kind === TIMER_TAIL_PROBE) probeTail(tcp, flow)
  else if (kind === TIMER_PERSIST) probeWindow(tcp, flow)
  else onTimeout(tcp, flow)
}

/** The guest acknowledged new bytes, up to `acknowledgment`. */
export function onAcknowledged(tcp: TcpResources, flow: TcpFlow, acknowledgment: number): void {
  const bytes = (acknowledgment - flow.sendUnacknowledged) | 0
  sampleRoundTrip(tcp, flow, acknowledgment)
  flow.sendUnacknowledged = acknowledgment
  if (((flow.sendNext - acknowledgment) | 0) < 0) flow.sendNext = acknowledgment
  flow.store.release(acknowledgment)
  if (flow.isFinSent && ((acknowledgment - flow.store.end) | 0) > 0) flow.isFinAcknowledged = true
  flow.sack?.release(acknowledgment)
  flow.duplicates = 0
  flow.backoff = 0
  flow.unanswered = 0
  flow.isTailProbed = false
  if (flow.congestionBytes < tcp.limits.flowInFlightBytes) flow.congestionBytes += bytes
  chargeInFlight(flow)
  if (flow.isRecovering) {
    if (((acknowledgment - flow.recoverUntil) | 0) >= 0) flow.isRecovering = false
    else {
      // A partial acknowledgement: what follows it was lost too (RFC 6582 §3.2).
      if (flow.sack === undefined || flow.sack.isEmpty) flow.holeNext = acknowledgment
      fillHoles(tcp, flow)
    }
  }
  restartTimer(tcp, flow)
}

/** Takes the SACK blocks of a segment. */
export function onSackBlocks(
  tcp: TcpResources,
  flow: TcpFlow,
  view: DataView,
  from: number,
  to: number,
): void {
  if (((flow.sendMax - flow.sendUnacknowledged) | 0) <= 0) return
  flow.sack ??= new SackScoreboard()
  const isNews = readSackBlocks(view, from, to, flow.sendUnacknowledged, flow.sendMax, flow.sack)
  if (!isNews) return
  flow.duplicates++
  if (flow.isRecovering) continueRecovery(tcp, flow)
  // Three times news from beyond a gap, or as much as three segments bring (RFC 6675 §4), or what a probe of the tail showed.
  else if (
    flow.duplicates >= DUPLICATES ||
    flow.sack.sizeBytes > (DUPLICATES - 1) * flow.mss ||
    flow.isTailProbed
  )
    enterRecovery(tcp, flow)
}

/** An acknowledgement that says nothing new while data is in flight (RFC 5681 §2). */
export function onDuplicate(tcp: TcpResources, flow: TcpFlow): void {
  flow.duplicates++
  if (flow.isRecovering) continueRecovery(tcp, flow)
  else if (flow.duplicates >= DUPLICATES) enterRecovery(tcp, flow)
}

/** ICMP says that our segments are too big: those in flight are sent again, smaller. */
export function resendSmaller(tcp: TcpResources, flow: TcpFlow): void {
  goBack(flow)
  pump(tcp, flow, false)
}

function enterRecovery(tcp: TcpResources, flow: TcpFlow): void {
  // After a timeout everything is sent again anyway.
  if (((flow.sendNext - flow.sendMax) | 0) < 0) return
  flow.isRecovering = true
  flow.recoverUntil = flow.sendMax
  flow.holeNext = flow.sendUnacknowledged
  flow.holePassAtMs = tcp.context.nowMs
  stopTiming(flow)
  fillHoles(tcp, flow)
  restartTimer(tcp, flow)
}

function continueRecovery(tcp: TcpResources, flow: TcpFlow): void {
  // Holes that were filled a while ago and are still there were lost again.
  const { nowMs } = tcp.context
  if (nowMs - flow.holePassAtMs > 2 * Math.max(0, flow.smoothedRttMs) + 10) {
    flow.holePassAtMs = nowMs
    flow.holeNext = flow.sendUnacknowledged
  }
  fillHoles(tcp, flow)
}

/** Sends again, from `holeNext` on, what lies between the bytes that the guest has. */
function fillHoles(tcp: TcpResources, flow: TcpFlow): void {
  if (((flow.holeNext - flow.sendUnacknowledged) | 0) < 0) flow.holeNext = flow.sendUnacknowledged
  const { sack } = flow
  if (sack === undefined || sack.isEmpty) {
    // Without SACK only the first hole is known.
    if (flow.holeNext === flow.sendUnacknowledged)
      flow.holeNext = (flow.holeNext + sendAgain(tcp, flow, flow.holeNext, largestPayload(flow))) | 0
    return
  }
  for (let frames = 0; frames < FRAMES_PER_ACK && flow.port.isWritable; frames++) {
    const hole = sack.holeFrom(flow.holeNext)
    if (((sack.highest - hole) | 0) <= 0) return
    const bytes = Math.min(sack.holeBytes(hole, 0), largestPayload(flow))
    const sent = sendAgain(tcp, flow, hole, bytes)
    if (sent <= 0) return
    flow.holeNext = (hole + sent) | 0
  }
}

/** Sends stored bytes once more, with the FIN where it follows them: how far that reached, 0 where it did not go. */
function sendAgain(tcp: TcpResources, flow: TcpFlow, sequence: number, maxBytes: number): number {
  const { store } = flow
  const isEnd = sequence === store.end
  if (isEnd ? !flow.isFinSent : !store.find(sequence)) return 0
  const length = isEnd ? 0 : Math.min(store.length, maxBytes)
  const withFin = flow.isFinSent && ((sequence + length) | 0) === store.end
  const flags = ACK | (length > 0 ? PSH : 0) | (withFin ? FIN : 0)
  if (!sendSegment(tcp, flow, sequence, flags, store.buffer, isEnd ? 0 : store.offset, length)) return 0
  flow.port.retransmissions++
  return withFin ? length + 1 : length
}

/** The last segment again: if it or one before it was lost, the answer shows it. */
function probeTail(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.state !== ESTABLISHED) return
  flow.isTailProbed = true
  stopTiming(flow)
  const dataEnd = flow.isFinSent ? (flow.sendMax - 1) | 0 : flow.sendMax
  const outstanding = (dataEnd - flow.sendUnacknowledged) | 0
  const from = outstanding > flow.mss ? (dataEnd - flow.mss) | 0 : flow.sendUnacknowledged
  sendAgain(tcp, flow, from, flow.mss)
  setTimer(tcp, flow, TIMER_RETRANSMIT, tcp.context.nowMs + timeoutMs(flow))
}

/** The guest's window is closed, or smaller than a segment: asks, or sends what fits. */
function probeWindow(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.state !== ESTABLISHED) return
  if (flow.sendWindow > 0) {
    pump(tcp, flow, false, true)
    awaitAnswer(tcp, flow)
    return
  }
  if (isGivenUp(tcp, flow)) return
  sendControl(tcp, flow, ACK, (flow.sendUnacknowledged - 1) | 0)
  backOff(flow)
  startPersistTimer(tcp, flow)
}

function onTimeout(tcp: TcpResources, flow: TcpFlow): void {
  if (isGivenUp(tcp, flow)) return
  backOff(flow)
  stopTiming(flow)
  if (flow.state === SYN_SENT || flow.state === SYN_RECEIVED) {
    const flags = flow.state === SYN_SENT ? SYN : SYN | ACK
    sendControl(tcp, flow, flags, flow.initialSend)
    flow.port.retransmissions++
    setTimer(tcp, flow, TIMER_RETRANSMIT, tcp.context.nowMs + timeoutMs(flow))
    return
  }
  if (flow.state !== ESTABLISHED) return
  goBack(flow)
  flow.congestionBytes = largestPayload(flow)
  pump(tcp, flow, false)
  awaitAnswer(tcp, flow)
}

/** Where nothing could be sent (device, budget) and something is unacknowledged all the same, it is tried again then. */
function awaitAnswer(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.state !== ESTABLISHED || flow.timerKind !== TIMER_NONE) return
  if (flow.sendMax !== flow.sendUnacknowledged)
    setTimer(tcp, flow, TIMER_RETRANSMIT, tcp.context.nowMs + timeoutMs(flow))
}

/** Everything in flight counts as lost, what SACK said too (RFC 2018 §8: the guest may have thrown it away). */
function goBack(flow: TcpFlow): void {
  flow.sendNext = flow.sendUnacknowledged
  flow.sack?.clear()
  flow.isRecovering = false
  flow.isTailProbed = false
  flow.duplicates = 0
  stopTiming(flow)
  chargeInFlight(flow)
}

function backOff(flow: TcpFlow): void {
  if (timeoutMs(flow) < MAX_TIMEOUT_MS) flow.backoff++
}

/** RFC 9293 §3.8.3: after so many, or so long, without an answer the guest is taken for dead. */
function isGivenUp(tcp: TcpResources, flow: TcpFlow): boolean {
  const { nowMs } = tcp.context
  if (flow.unanswered === 0) flow.unansweredFromMs = nowMs
  flow.unanswered++
  if (flow.unanswered <= MAX_UNANSWERED && nowMs - flow.unansweredFromMs < MAX_UNANSWERED_MS) return false
  resetFlow(tcp, flow)
  return true
}
