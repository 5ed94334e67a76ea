// When to send again: the retransmission timeout of RFC 6298, the persist timer of RFC 9293 §3.8.6.1 and the tail loss probe
// of RFC 8985 §7, in one timer a flow. Moving it is a write: the wheel's timer runs on and looks when it fires.
import {
  type RetransmitTimerKind,
  type TcpFlow,
  TIMER_NONE,
  TIMER_PERSIST,
  TIMER_RETRANSMIT,
  TIMER_TAIL_PROBE,
} from './tcp-flow.ts'
import type { TcpResources } from './tcp-resources.ts'

/** RFC 6298 §2.4 says a second, for the Internet; every kernel takes 200 ms, and our peer is one hop away. */
export const MIN_TIMEOUT_MS = 200
export const MAX_TIMEOUT_MS = 60_000
/** A delayed acknowledgement of the guest must not look like a loss. */
const MIN_PROBE_MS = 20
/** Of the timer wheel: G of RFC 6298. */
const CLOCK_MS = 10

export function setTimer(tcp: TcpResources, flow: TcpFlow, kind: RetransmitTimerKind, dueMs: number): void {
  flow.timerKind = kind
  flow.timerDueMs = dueMs
  const timer = flow.retransmitTimer
  if (!timer.isRunning || timer.dueMs > dueMs + CLOCK_MS) tcp.context.timers.start(timer, dueMs)
}

/** The timeout with its backoff (RFC 6298 §5.5). */
export function timeoutMs(flow: TcpFlow): number {
  return Math.min(MAX_TIMEOUT_MS, flow.retransmitTimeoutMs * 2 ** flow.backoff)
}

/** Something was sent or acknowledged: starts anew while anything is in flight, stops otherwise (RFC 6298 §5.2, §5.3). */
export function restartTimer(tcp: TcpResources, flow: TcpFlow): void {
  const inFlight = (flow.sendMax - flow.sendUnacknowledged) | 0
  if (inFlight <= 0) {
    flow.timerKind = TIMER_NONE
    return
  }
  const { nowMs } = tcp.context
  const timeout = timeoutMs(flow)
  // One segment alone may wait for a delayed acknowledgement: then the timeout comes first anyway (RFC 8985 §7.2).
  const mayProbe = !flow.isTailProbed && !flow.isRecovering && flow.backoff === 0 && inFlight > flow.mss
  const probe = mayProbe ? Math.max(MIN_PROBE_MS, 2 * flow.smoothedRttMs) : timeout
  if (probe < timeout) setTimer(tcp, flow, TIMER_TAIL_PROBE, nowMs + probe)
  else setTimer(tcp, flow, TIMER_RETRANSMIT, nowMs + timeout)
}

/** Something was sent: starts the timer unless it runs for what is in flight. */
export function startTimer(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.timerKind === TIMER_NONE || flow.timerKind === TIMER_PERSIST) restartTimer(tcp, flow)
}

/** Nothing is in flight and the guest's window is closed to what there is: asks again after a while. */
export function startPersistTimer(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.timerKind === TIMER_PERSIST) return
  setTimer(tcp, flow, TIMER_PERSIST, tcp.context.nowMs + timeoutMs(flow))
}

/** Times the segment that ends at `end`, unless another is timed: one sample a round trip (RFC 6298 §4). */
export function timeSegment(tcp: TcpResources, flow: TcpFlow, end: number): void {
  if (flow.timedAtMs >= 0) return
  flow.timedAtMs = tcp.context.nowMs
  flow.timedSequence = end
}

/** Karn: what is sent again is not timed (RFC 6298 §3). */
export function stopTiming(flow: TcpFlow): void {
  flow.timedAtMs = -1
}

/** Takes a sample when the timed segment is acknowledged (RFC 6298 §2). */
export function sampleRoundTrip(tcp: TcpResources, flow: TcpFlow, acknowledgment: number): void {
  if (flow.timedAtMs < 0 || ((acknowledgment - flow.timedSequence) | 0) < 0) return
  const sample = tcp.context.nowMs - flow.timedAtMs
  flow.timedAtMs = -1
  if (flow.smoothedRttMs < 0) {
    flow.smoothedRttMs = sample
    flow.rttVariationMs = sample / 2
  } else {
    flow.rttVariationMs = 0.75 * flow.rttVariationMs + 0.25 * Math.abs(flow.smoothedRttMs - sample)
    flow.smoothedRttMs = 0.875 * flow.smoothedRttMs + 0.125 * sample
  }
  const timeout = flow.smoothedRttMs + Math.max(CLOCK_MS, 4 * flow.rttVariationMs)
  flow.retransmitTimeoutMs = Math.min(MAX_TIMEOUT_MS, Math.max(MIN_TIMEOUT_MS, Math.ceil(timeout)))
}
