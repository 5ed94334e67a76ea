// The moment a flow is established, and the window that each segment brings. RFC 9293 §3.10.7.3–4.
import { chargeInFlight, decide } from './flow-life.ts'
import { restartTimer, sampleRoundTrip } from './retransmit-timer.ts'
import { ESTABLISHED, type TcpFlow } from './tcp-flow.ts'
import type { TcpResources } from './tcp-resources.ts'

/** The guest has acknowledged our SYN. */
export function establish(tcp: TcpResources, flow: TcpFlow, acknowledgment: number): void {
  sampleRoundTrip(tcp, flow, acknowledgment)
  flow.sendUnacknowledged = acknowledgment
  flow.state = ESTABLISHED
  flow.backoff = 0
  flow.unanswered = 0
  flow.guest.halfOpen.delete(flow)
  chargeInFlight(flow)
  restartTimer(tcp, flow)
  decide(flow, true)
}

/** SND.WND with SND.WL1 and SND.WL2. */
export function takeWindow(flow: TcpFlow, sequence: number, acknowledgment: number, window: number): void {
  flow.sendWindow = window
  flow.windowSequence = sequence
  flow.windowAcknowledgment = acknowledgment
  if (window > flow.largestSendWindow) flow.largestSendWindow = window
}
