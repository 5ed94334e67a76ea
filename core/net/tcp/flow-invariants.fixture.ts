// What is true of all flows between two turns, whatever happened: the budget is the sum of what is charged, and whoever has
// something to do has somebody to wake it. A flow for which this fails stays as it is for good.
import type { ScriptedPeer } from './scripted-peer.fixture.ts'
import { ESTABLISHED, SYN_RECEIVED, SYN_SENT, TcpFlow, TIMER_NONE } from './tcp-flow.ts'

/** Of LEAST_GRANT_BYTES in to-guest.ts: with so much of its budget free a guest's flows wait for no acknowledgement. */
const GRANT_BYTES = 16_384
/** The wheel and the clock of one timer: later than this it does not fire. */
const LATE_MS = 30

/** Every flow that has a socket. */
export function flowsOf(peer: ScriptedPeer): TcpFlow[] {
  return [...peer.context.handlers.values()].filter((handler) => handler instanceof TcpFlow)
}

/** What is wrong; empty when nothing is. To be asked when the turn has ended. */
export function brokenInvariants(peer: ScriptedPeer): string[] {
  const wrong: string[] = []
  const flows = flowsOf(peer)
  const { port, stack } = peer
  const charged = flows.reduce((sum, flow) => sum + flow.chargedBytes, 0)
  if (charged !== port.inFlightBytes)
    wrong.push(`${charged} bytes are charged, and ${port.inFlightBytes} counted`)
  const guest = flows[0]?.guest
  if (guest !== undefined && guest.waitingCount > 0) {
    const free = port.inFlightLimitBytes - port.inFlightBytes
    const isBudgetShort = port.inFlightBytes > 0 && free < Math.min(GRANT_BYTES, port.inFlightLimitBytes)
    if (port.isWritable && !isBudgetShort && !stack.awaitsMemory)
      wrong.push(`${guest.waitingCount} flows wait for nothing, ${free} bytes are free`)
    const waiting = flows.filter(({ isWaiting }) => isWaiting).length
    if (waiting > guest.waitingCount) wrong.push(`${waiting} flows say they wait, ${guest.waitingCount} do`)
  }
  for (const flow of flows) for (const what of wrongWith(peer, flow)) wrong.push(`${flow.guestPort}: ${what}`)
  return wrong
}

function wrongWith(peer: ScriptedPeer, flow: TcpFlow): string[] {
  const wrong: string[] = []
  const { store } = flow
  const unacknowledged = (flow.sendMax - flow.sendUnacknowledged) | 0
  const hasTimer = flow.timerKind !== TIMER_NONE
  const { retransmitTimer } = flow
  if (hasTimer && !retransmitTimer.isRunning) wrong.push('its timer does not run')
  if (hasTimer && retransmitTimer.isRunning && retransmitTimer.dueMs > flow.timerDueMs + LATE_MS)
    wrong.push(`its timer runs until ${retransmitTimer.dueMs}, not ${flow.timerDueMs}`)
  if ((flow.state === SYN_SENT || flow.state === SYN_RECEIVED) && !hasTimer)
    wrong.push('nobody repeats its SYN')
  if (flow.state !== ESTABLISHED) return wrong
  if (unacknowledged > 0 && !hasTimer)
    wrong.push(`${unacknowledged} bytes are unacknowledged without a timer`)
  const unsent = (store.end - flow.sendNext) | 0
  const hasMore = flow.isReadable && !flow.isEof
  const owesFin = flow.isEof && !flow.isBroken && !flow.isFinSent
  if ((unsent > 0 || hasMore || owesFin) && !flow.isWaiting && !hasTimer)
    wrong.push(
      `it has ${unsent} bytes unsent, is readable: ${hasMore}, owes a FIN: ${owesFin}, and nobody comes`,
    )
  if (flow.isAckDue && !flow.isDue && !flow.isWaiting) wrong.push('nobody sends its acknowledgement')
  if (flow.isBroken && flow.isEof && ((store.end - flow.sendUnacknowledged) | 0) <= 0)
    wrong.push('its host side failed and the guest has everything, but it is there')
  // Careful: what is peeked at again after a loss is not news.
  const unread = peer.canPeek && !flow.isInbound ? 0 : peer.host.unreadBytes(flow.fd)
  if (unread > 0 && !flow.isReadable && !flow.isEof)
    wrong.push(`${unread} bytes can be read and it does not know`)
  return wrong
}
