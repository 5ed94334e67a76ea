// From the guest to the host's socket: bytes in order go straight from the frame into the socket; what it does not take
// waits, and the window that the guest is told shrinks by that. RFC 9293 §3.8.6, §3.10.7.4.
import { EAGAIN } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { finishFlow, resetFlow } from './flow-life.ts'
import { ESTABLISHED, type TcpFlow } from './tcp-flow.ts'
import { ackAtEndOfTurn, receiveRoom } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'
import { WaitingBytes } from './waiting-bytes.ts'

/** With less than this left of its window a guest that sends large frames may have stopped. */
const NARROW_WINDOW_BYTES = 131_072

/** Hands over bytes that follow on what was received. What there is no room for is not acknowledged: it comes again. */
export function deliver(
  tcp: TcpResources,
  flow: TcpFlow,
  buffer: PinnedBuffer,
  offset: number,
  length: number,
): void {
  if (flow.isBroken) return
  let taken = 0
  if (flow.isWritable && (flow.waiting === undefined || flow.waiting.sizeBytes === 0)) {
    const count = tcp.sockets.send(flow.fd, buffer, offset, length)
    if (count >= 0) taken = count
    else if (count !== -EAGAIN) {
      breakFlow(flow)
      return
    }
    if (taken < length) flow.isWritable = false
  }
  if (taken < length) {
    flow.waiting ??= new WaitingBytes(tcp.pool, flow.guest)
    taken += flow.waiting.append(buffer, offset + taken, length - taken)
  }
  flow.receiveNext = (flow.receiveNext + taken) | 0
  flow.outBytes += taken
}

/** A gap may be closed: hands over what lay behind it. */
export function deliverOutOfOrder(tcp: TcpResources, flow: TcpFlow): void {
  const { outOfOrder } = flow
  if (outOfOrder === undefined) return
  for (;;) {
    const slot = outOfOrder.takeReady(flow.receiveNext)
    if (slot === undefined) break
    const skip = (flow.receiveNext - slot.sequence) | 0
    if (skip < slot.used) deliver(tcp, flow, slot.buffer, skip, slot.used - skip)
    tcp.outOfOrderPool.give(flow.guest.outOfOrder, slot)
  }
  if (outOfOrder.isEmpty) flow.outOfOrder = undefined
}

/** The guest's FIN counts once everything before it is here. */
export function receiveFin(tcp: TcpResources, flow: TcpFlow): void {
  if (!flow.isFinKnown || flow.isFinReceived || flow.receiveNext !== flow.finSequence) return
  flow.receiveNext = (flow.receiveNext + 1) | 0
  flow.isFinReceived = true
  flow.isPassiveClose = !flow.isFinSent
  shutdownWhenDrained(tcp, flow)
}

/** The socket takes bytes again. */
export function flushWaiting(tcp: TcpResources, flow: TcpFlow): void {
  const { waiting } = flow
  if (waiting === undefined || waiting.sizeBytes === 0) return
  const failed = waiting.flush(tcp.sockets, flow.fd)
  if (failed === -EAGAIN) flow.isWritable = false
  else if (failed < 0) {
    breakFlow(flow)
    return
  }
  shutdownWhenDrained(tcp, flow)
  // The guest may have stopped at a closed window: it is told at once, or it waits for its probe (RFC 9293 §3.8.6.2.2).
  const window = (flow.receiveEdge - flow.receiveNext) | 0
  const gain = (receiveRoom(tcp, flow) - window) | 0
  const half = tcp.limits.windowBytes >>> 1
  if (gain >= half || (window < NARROW_WINDOW_BYTES && gain >= Math.min(flow.mss, half)))
    ackAtEndOfTurn(tcp, flow)
}

/** Ends the flow when both directions have ended, or the host's side failed and the guest has what came before that. */
export function endWhenDone(tcp: TcpResources, flow: TcpFlow): void {
  if (flow.state !== ESTABLISHED) return
  if (flow.isBroken) {
    if (flow.isEof && ((flow.store.end - flow.sendUnacknowledged) | 0) <= 0) resetFlow(tcp, flow)
    return
  }
  if (!flow.isFinAcknowledged || !flow.isWriteShut || flow.isAckDue) return
  finishFlow(tcp, flow)
}

function shutdownWhenDrained(tcp: TcpResources, flow: TcpFlow): void {
  if (!flow.isFinReceived || flow.isWriteShut || flow.isBroken) return
  if (flow.waiting !== undefined && flow.waiting.sizeBytes > 0) return
  flow.isWriteShut = true
  tcp.sockets.shutdownWrite(flow.fd)
}

/** The host's socket takes nothing more: what it still has to say is read, then the guest gets a reset. */
function breakFlow(flow: TcpFlow): void {
  flow.isBroken = true
  flow.isReadable = true
  flow.waiting?.clear()
}
