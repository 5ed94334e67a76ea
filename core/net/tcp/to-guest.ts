// From the host's socket to the guest: reads as much as the guest's window and its budget allow, and sends it in frames as
// large as they may be. What is read stays in the flow's store until the guest has acknowledged it.
import { EAGAIN, ENOBUFS } from '../../sys/errno.ts'
import { DROP } from '../frame/drop-reason.ts'
import type { GuestPort } from '../guest-port.ts'
import { chargeInFlight, resetFlow } from './flow-life.ts'
import { startPersistTimer, startTimer, timeSegment } from './retransmit-timer.ts'
import { CLOSED, ESTABLISHED, type TcpFlow } from './tcp-flow.ts'
import type { TcpGuest } from './tcp-guest.ts'
import { ACK, FIN, PSH } from './tcp-header.ts'
import { sendAck, sendControl, sendSegment } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'
import { endWhenDone } from './to-host.ts'

/** Of one frame: IP counts 65 535 bytes with its header (RFC 791 §3.1); TCP's may be 60. */
const MAX_PAYLOAD_BYTES = 65_535 - 20 - 60
/** A flow does not begin with less of the guest's budget, as long as it could use more: frames must stay large. */
const LEAST_GRANT_BYTES = 16_384

/** The payload of the largest frame: whole segments. */
export function largestPayload(flow: TcpFlow): number {
  return MAX_PAYLOAD_BYTES - (MAX_PAYLOAD_BYTES % flow.mss)
}

/**
 * Sends what can be sent. `isGranted`: it is this flow's turn among those that wait, for one frame. `isForced`: a small
 * window has been waited for long enough (the override timeout of RFC 9293 §3.8.6.2.1).
 */
export function pump(tcp: TcpResources, flow: TcpFlow, isGranted: boolean, isForced = false): void {
  if (flow.state !== ESTABLISHED) return
  const { store, guest, port } = flow
  let mayJump = isGranted
  for (;;) {
    let unsent = (store.end - flow.sendNext) | 0
    if (unsent <= 0 && (!flow.isReadable || flow.isEof)) break
    if (unsent > 0 && skipWhatGuestHas(flow)) continue
    const room = sendRoom(tcp, flow, unsent, isForced)
    if (room <= 0) return
    const budget = port.inFlightLimitBytes - port.inFlightBytes
    if (
      !port.isWritable ||
      (guest.waitingCount > 0 && !mayJump) ||
      budget < Math.min(room, LEAST_GRANT_BYTES, port.inFlightLimitBytes)
    ) {
      guest.wait(flow)
      return
    }
    const want = wholeSegments(flow, Math.min(room, budget, largestPayload(flow)))
    if (unsent > 0) {
      if (!store.find(flow.sendNext)) {
        // The kernel threw away what it had: nothing can be sent again.
        resetFlow(tcp, flow)
        return
      }
    } else {
      if (!read(tcp, flow, want)) {
        if (flow.isWaiting) return
        continue
      }
      if (flow.readsMayBeShort && store.wasShort) {
        // The end of the stream, if it comes next, travels in the same frame.
        read(tcp, flow, want)
        if (!store.find(flow.sendNext)) return
      }
      unsent = (store.end - flow.sendNext) | 0
    }
    const sackLimit = flow.sack === undefined ? want : flow.sack.holeBytes(flow.sendNext, want)
    // All there is may end in a small segment; anything else is whole ones.
    const length = Math.min(store.length, sackLimit, unsent <= want ? unsent : want)
    if (!send(tcp, flow, length)) {
      guest.wait(flow)
      return
    }
    mayJump = false
  }
  sendFin(tcp, flow)
}

/** Lets the flows that wait for budget, device or memory have their turns, one frame each, round and round. */
export function serveWaiting(tcp: TcpResources, guest: TcpGuest): void {
  const { port } = guest
  tcp.pool.hasRefused = false
  while (guest.waitingCount > 0) {
    const before = framesTried(port)
    for (let left = guest.waitingCount; left > 0; left--) {
      if (!port.isWritable || tcp.pool.hasRefused) return
      if (port.inFlightLimitBytes - port.inFlightBytes < Math.min(LEAST_GRANT_BYTES, port.inFlightLimitBytes))
        return
      const flow = guest.nextWaiting()
      if (flow === undefined) return
      if (flow.state === CLOSED) continue
      if (flow.isAckDue && !flow.isDue) sendAck(tcp, flow)
      pump(tcp, flow, true)
      endWhenDone(tcp, flow)
    }
    if (framesTried(port) === before) return
  }
}

/** Those that the device refused for good too: they count as sent and lost. */
function framesTried(port: GuestPort): number {
  return port.inFrames + (port.drops[DROP['host-refused']] ?? 0)
}

/** Reads into the store. False where nothing came; the flow then knows why. */
function read(tcp: TcpResources, flow: TcpFlow, want: number): boolean {
  const count = flow.store.fill(flow.fd, want)
  if (count > 0) {
    flow.inBytes += count
    flow.activeAtMs = tcp.context.nowMs
    if (flow.store.wasShort && !flow.readsMayBeShort) flow.isReadable = false
    return true
  }
  if (count === 0) flow.isEof = true
  else if (count === -EAGAIN) {
    flow.isReadable = false
    // Careful: a socket that failed in send() has told its error there and says nothing more here.
    if (flow.isBroken) flow.isEof = true
  } else if (count === -ENOBUFS) flow.guest.wait(flow)
  else {
    flow.isEof = true
    flow.isBroken = true
  }
  return false
}

/** After a loss `sendNext` went back: jumps over what the guest says it has. */
function skipWhatGuestHas(flow: TcpFlow): boolean {
  const { sack } = flow
  if (sack === undefined || sack.isEmpty) return false
  const hole = sack.holeFrom(flow.sendNext)
  if (hole === flow.sendNext) return false
  flow.sendNext = hole
  chargeInFlight(flow)
  return true
}

/**
 * How many bytes may follow now; 0 where something else must happen first, which the persist timer sees to when nothing is
 * in flight. No small segment while data is in flight, unless it is all there is (RFC 9293 §3.8.6.2.1).
 */
function sendRoom(tcp: TcpResources, flow: TcpFlow, unsent: number, isForced: boolean): number {
  const inFlight = (flow.sendNext - flow.sendUnacknowledged) | 0
  const room = Math.min(flow.sendWindow, flow.congestionBytes, tcp.limits.flowInFlightBytes) - inFlight
  if (room >= flow.mss || isForced) return room
  if (inFlight > 0) return unsent > 0 && unsent <= room ? room : 0
  if (room > 0 && room >= flow.largestSendWindow >>> 1) return room
  startPersistTimer(tcp, flow)
  return 0
}

function wholeSegments(flow: TcpFlow, bytes: number): number {
  return bytes <= flow.mss ? bytes : bytes - (bytes % flow.mss)
}

/** Sends the `length` bytes that the store points at, at `sendNext`. */
function send(tcp: TcpResources, flow: TcpFlow, length: number): boolean {
  const { store, sendNext } = flow
  const end = (sendNext + length) | 0
  const isLast = flow.isEof && !flow.isBroken && end === store.end
  const flags = isLast ? ACK | PSH | FIN : ACK | PSH
  if (!sendSegment(tcp, flow, sendNext, flags, store.buffer, store.offset, length)) return false
  advance(tcp, flow, end, isLast)
  return true
}

function sendFin(tcp: TcpResources, flow: TcpFlow): void {
  if (!flow.isEof || flow.isBroken || flow.sendNext !== flow.store.end) return
  if (!flow.port.isWritable || !sendControl(tcp, flow, ACK | FIN, flow.sendNext)) {
    flow.guest.wait(flow)
    return
  }
  advance(tcp, flow, flow.sendNext, true)
}

function advance(tcp: TcpResources, flow: TcpFlow, end: number, withFin: boolean): void {
  if (withFin) flow.isFinSent = true
  flow.sendNext = withFin ? (end + 1) | 0 : end
  if (((flow.sendNext - flow.sendMax) | 0) > 0) {
    flow.sendMax = flow.sendNext
    timeSegment(tcp, flow, flow.sendNext)
  } else flow.port.retransmissions++
  chargeInFlight(flow)
  startTimer(tcp, flow)
}
