// How a flow ends: everything that it holds is let go in one place.
import { CLOSED, CONNECTING, ESTABLISHED, SYN_SENT, type TcpFlow, TIME_WAIT } from './tcp-flow.ts'
import { ACK, RST } from './tcp-header.ts'
import { sendControl } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'

/**
 * After we closed first: long enough to acknowledge the guest's FIN again when our acknowledgement was lost. The guest is
 * one hop away and repeats it within a second; the two minutes of RFC 9293 §3.6.1 are for networks that keep segments.
 */
const TIME_WAIT_MS = 1_000
const MAX_TIME_WAIT = 1_024

/** Counts a flow's bytes in flight into the guest's budget. Call it after `sendNext` or `sendUnacknowledged` moved. */
export function chargeInFlight(flow: TcpFlow): void {
  const inFlight = flow.state === ESTABLISHED ? (flow.sendNext - flow.sendUnacknowledged) | 0 : 0
  const more = inFlight - flow.chargedBytes
  flow.port.inFlightBytes += more
  flow.chargedBytes = inFlight
  if (more < 0) flow.guest.turnOver()
}

/** Ends a flow on the host's side and forgets it. `isReset`: the server sees a reset, not an end. */
export function removeFlow(tcp: TcpResources, flow: TcpFlow, isReset: boolean): void {
  if (flow.state === CLOSED) return
  const wasUndecided = flow.onDecided
  flow.state = CLOSED
  tcp.context.timers.stop(flow.retransmitTimer)
  tcp.context.timers.stop(flow.lifeTimer)
  closeSocket(tcp, flow, isReset)
  letGoOfMemory(flow)
  tcp.table.remove(flow)
  tcp.journal?.closed(flow)
  flow.guest.flows.delete(flow)
  flow.guest.halfOpen.delete(flow)
  flow.guest.timeWait.delete(flow)
  if (wasUndecided !== undefined) decide(flow, false)
}

/** Resets both sides. */
export function resetFlow(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.state === CLOSED) return
  if (flow.state === CONNECTING) sendControl(tcp, flow, RST | ACK, 0)
  else if (flow.state === SYN_SENT) sendControl(tcp, flow, RST, flow.sendMax)
  else sendControl(tcp, flow, RST | ACK, flow.sendMax)
  removeFlow(tcp, flow, true)
}

/** Tells who opened an inbound flow what became of it, once. */
export function decide(flow: TcpFlow, accepted: boolean): void {
  const { onDecided } = flow
  flow.onDecided = undefined
  onDecided?.(accepted)
}

/** Both directions are closed: the socket goes, and the flow too unless the guest's last word may come again. */
export function finishFlow(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.isPassiveClose) {
    removeFlow(tcp, flow, false)
    return
  }
  closeSocket(tcp, flow, false)
  letGoOfMemory(flow)
  flow.state = TIME_WAIT
  const { guest } = flow
  guest.flows.delete(flow)
  guest.timeWait.add(flow)
  tcp.context.timers.stop(flow.retransmitTimer)
  tcp.context.timers.start(flow.lifeTimer, tcp.context.nowMs + TIME_WAIT_MS)
  if (guest.timeWait.size <= MAX_TIME_WAIT) return
  for (const oldest of guest.timeWait) {
    removeFlow(tcp, oldest, false)
    break
  }
}

function closeSocket(tcp: TcpResources, flow: TcpFlow, isReset: boolean): void {
  if (flow.fd < 0) return
  if (flow.watchToken >= 0) tcp.context.watcher.unwatch(flow.fd, flow.watchToken)
  if (isReset) tcp.sockets.reset(flow.fd)
  else tcp.sockets.close(flow.fd)
  flow.fd = -1
  flow.watchToken = -1
}

function letGoOfMemory(flow: TcpFlow): void {
  flow.store.clear()
  flow.waiting?.clear()
  flow.outOfOrder?.clear()
  flow.outOfOrder = undefined
  flow.port.inFlightBytes -= flow.chargedBytes
  flow.chargedBytes = 0
  flow.guest.turnOver()
}
