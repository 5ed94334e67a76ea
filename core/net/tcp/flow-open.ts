// How a flow begins: from the guest's SYN to a connected host socket, or from a host socket to a SYN for the guest.
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLPRI, EPOLLRDHUP } from '../../sys/epoll.ts'
import { EMFILE, ENFILE } from '../../sys/errno.ts'
import { MAPPED_PREFIX } from '../address.ts'
import { NetError } from '../errors.ts'
import type { Frame } from '../frame/frame.ts'
import { answerToFailure } from './connect-failure.ts'
import { removeFlow, resetFlow } from './flow-life.ts'
import { PeekStore } from './peek-store.ts'
import { SlotStore } from './slot-store.ts'
import { sendSyn, sendSynAck, takeSynOptions } from './syn.ts'
import { CONNECTING, type FlowKey, type FlowOwner, SYN_RECEIVED, SYN_SENT, TcpFlow } from './tcp-flow.ts'
import type { TcpGuest } from './tcp-guest.ts'
import { SEQUENCE } from './tcp-header.ts'
import { sendResetFor } from './tcp-output.ts'
import type { TcpResources } from './tcp-resources.ts'

/** A guest that says nothing to a SYN: it was sent at 0, 1, 3 and 7 s. */
const INBOUND_MS = 10_000
/** How often the idle and closing times of a flow are looked at. */
const FIRST_LOOK_MS = 60_000

/**
 * Opens a flow for the guest's SYN in `frame`. `connectedFd`: a socket of the gateway's services, or the negative errno of
 * why there is none; undefined connects to the address that the frame is for.
 */
export function openOutbound(
  tcp: TcpResources,
  owner: FlowOwner,
  guest: TcpGuest,
  key: FlowKey,
  frame: Frame,
  connectedFd: number | undefined,
): void {
  const { port } = guest
  const fd =
    connectedFd ?? tcp.sockets.connect(key.remote0, key.remote1, key.remote2, key.remote3, key.remotePort)
  if (fd < 0) {
    refuse(tcp, guest, frame, -fd)
    return
  }
  const isTcp = connectedFd === undefined
  const flow = makeFlow(tcp, owner, guest, key, false, isTcp)
  flow.initialReceive = frame.buffer.view.getInt32(frame.transport + SEQUENCE)
  flow.receiveNext = (flow.initialReceive + 1) | 0
  flow.receiveEdge = flow.receiveNext
  takeSynOptions(tcp, flow, frame)
  if (!adoptSocket(tcp, flow, fd)) {
    port.drop('descriptor-limit')
    resetFlow(tcp, flow)
    return
  }
  if (connectedFd === undefined) return
  tcp.sockets.adopt(fd)
  flow.isWritable = true
  sendSynAck(tcp, flow)
}

/** Opens a flow to the guest for a socket that the host has accepted or made. */
export function openInbound(
  tcp: TcpResources,
  owner: FlowOwner,
  guest: TcpGuest,
  key: FlowKey,
  fd: number,
  done: ((accepted: boolean) => void) | undefined,
): void {
  const flow = makeFlow(tcp, owner, guest, key, true, false)
  flow.onDecided = done
  tcp.sockets.adopt(fd)
  if (!adoptSocket(tcp, flow, fd)) {
    guest.port.drop('descriptor-limit')
    removeFlow(tcp, flow, true)
    return
  }
  flow.isWritable = true
  flow.receiveWindowShift = tcp.windowShift
  flow.hasSack = true
  tcp.context.timers.start(flow.lifeTimer, tcp.context.nowMs + INBOUND_MS)
  sendSyn(tcp, flow)
}

/** The events of a socket that connects. */
export function onConnectEvents(tcp: TcpResources, flow: TcpFlow, events: number): void {
  const errno = tcp.sockets.takeError(flow.fd)
  if (errno !== 0) {
    failToConnect(tcp, flow, errno)
    return
  }
  flow.isWritable = true
  noteReadable(flow, events)
  sendSynAck(tcp, flow)
}

export function noteReadable(flow: TcpFlow, events: number): void {
  if ((events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) flow.isReadable = true
  // Careful: a read ends at urgent data, whatever follows it, and no other event comes for what does.
  if ((events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) !== 0) flow.readsMayBeShort = true
}

function failToConnect(tcp: TcpResources, flow: TcpFlow, errno: number): void {
  const answer = answerToFailure(errno)
  if (answer === 'reset') {
    resetFlow(tcp, flow)
    return
  }
  if (answer !== 'silence') tcp.icmp.about(flow.port, flow, answer)
  removeFlow(tcp, flow, true)
}

/** connect() itself failed: the guest is answered about the frame in hand. */
function refuse(tcp: TcpResources, guest: TcpGuest, frame: Frame, errno: number): void {
  const { port } = guest
  if (errno === EMFILE || errno === ENFILE) port.drop('descriptor-limit')
  else port.drop('host-refused')
  const answer = answerToFailure(errno)
  if (answer === 'reset' || answer === 'silence') sendResetFor(tcp, port, frame)
  else tcp.icmp.answer(port, frame, answer)
}

function makeFlow(
  tcp: TcpResources,
  owner: FlowOwner,
  guest: TcpGuest,
  key: FlowKey,
  isInbound: boolean,
  mayPeek: boolean,
): TcpFlow {
  const { nowMs } = tcp.context
  // Careful: a socket that somebody else made may be of a family that does not know how to throw bytes away.
  const store =
    mayPeek && tcp.sockets.canPeek(key.remote2 !== MAPPED_PREFIX || key.remote1 !== 0 || key.remote0 !== 0)
      ? new PeekStore(tcp.sockets)
      : new SlotStore(tcp.pool, guest, tcp.sockets, tcp.nothing)
  const flow = new TcpFlow(
    owner,
    guest,
    key,
    isInbound,
    isInbound ? SYN_SENT : CONNECTING,
    store,
    tcp.limits.flowInFlightBytes,
    nowMs,
  )
  tcp.table.insert(flow)
  tcp.journal?.opened(flow)
  guest.flows.add(flow)
  guest.halfOpen.add(flow)
  guest.port.flowsOpened++
  tcp.context.timers.start(flow.lifeTimer, nowMs + FIRST_LOOK_MS)
  if (guest.halfOpen.size > tcp.limits.tcpHalfOpen)
    for (const oldest of guest.halfOpen) {
      guest.port.drop('flow-limit')
      resetFlow(tcp, oldest)
      break
    }
  return flow
}

/** The flow owns the descriptor from here on. */
function adoptSocket(tcp: TcpResources, flow: TcpFlow, fd: number): boolean {
  flow.fd = fd
  try {
    flow.watchToken = tcp.context.watcher.watch(fd, flow)
    return true
  } catch (error) {
    if (error instanceof NetError) return false
    throw error
  }
}

/** Looks whether the flow has been silent for too long; returns when to look again, or 0 when its time is over. */
export function nextLookMs(tcp: TcpResources, flow: TcpFlow): number {
  const { limits } = tcp
  const { nowMs } = tcp.context
  if (flow.state === SYN_SENT || (flow.state === SYN_RECEIVED && flow.isInbound)) {
    const due = flow.startedAtMs + INBOUND_MS
    return nowMs >= due ? 0 : due
  }
  const isClosing =
    flow.state === CONNECTING || flow.state === SYN_RECEIVED || flow.isFinReceived || flow.isEof
  const due = flow.activeAtMs + (isClosing ? limits.tcpClosingMs : limits.tcpIdleMs)
  return nowMs >= due ? 0 : Math.min(due, nowMs + FIRST_LOOK_MS)
}

/** Refuses an inbound socket: there is no room for its flow. */
export function refuseInbound(
  tcp: TcpResources,
  fd: number,
  done: ((accepted: boolean) => void) | undefined,
): void {
  tcp.sockets.reset(fd)
  done?.(false)
}
