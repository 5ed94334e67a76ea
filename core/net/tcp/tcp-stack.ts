// TCP of all guests: each connection of a guest ends here and goes on as a stream socket of the host. This file finds or
// opens the flow of a segment, keeps the limits, and hands the events of flows to the files that know what to do.
import { getRandomValues } from 'node:crypto'
import { EPOLLERR, EPOLLHUP, EPOLLOUT } from '../../sys/epoll.ts'
import type { FlowJournal } from '../flow/flow-journal.ts'
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_TCP } from '../frame/layout.ts'
import { type GatewayIdentity, isGatewayAddress } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { FlowReport, FlowSource, ProtocolHandler } from '../packet/protocol-handler.ts'
import { Timer } from '../packet/timer-wheel.ts'
import type { NetworkLimits } from '../settings.ts'
import { removeFlow, resetFlow } from './flow-life.ts'
import {
  nextLookMs,
  noteReadable,
  onConnectEvents,
  openInbound,
  openOutbound,
  refuseInbound,
} from './flow-open.ts'
import { flowReport } from './flow-report.ts'
import { onRetransmitTimer, resendSmaller } from './retransmission.ts'
import type { StreamSockets } from './stream-sockets.ts'
import { CONNECTING, ESTABLISHED, type FlowKey, type FlowOwner, type TcpFlow, TIME_WAIT } from './tcp-flow.ts'
import { TcpGuest, type TcpGuestOwner } from './tcp-guest.ts'
import {
  ACK,
  DEFAULT_MSS_IPV4,
  DEFAULT_MSS_IPV6,
  DESTINATION_PORT,
  FLAGS,
  IPV4_TCP_BYTES,
  IPV6_TCP_BYTES,
  RST,
  SEQUENCE,
  SOURCE_PORT,
  SYN,
} from './tcp-header.ts'
import { segmentArrives } from './tcp-input.ts'
import { sendAck, sendResetFor } from './tcp-output.ts'
import { TcpResources } from './tcp-resources.ts'
import { pump, serveWaiting } from './to-guest.ts'
import { endWhenDone, flushWaiting } from './to-host.ts'

/** Flows that were refused memory are served again after this, unless an acknowledgement comes first. */
const STARVED_MS = 50
/** Where a free port for an inbound flow is looked for: that of the client is taken. */
const FIRST_FREE_PORT = 32_768
const FREE_PORTS = 28_232
const PORT_TRIES = 64

export interface TcpStackOptions {
  readonly sockets: StreamSockets
  readonly limits: NetworkLimits
  readonly gateway: GatewayIdentity
  readonly icmp: IcmpErrors
  /** A connected socket for a service of the gateway (DNS), or a negative errno: nobody listens there. */
  readonly localService: (port: GuestPort, remotePort: number) => number
  /** Where flows are written down for the engine that comes after this one. */
  readonly journal?: FlowJournal | undefined
}

export class TcpStack implements ProtocolHandler, FlowSource, FlowOwner, TcpGuestOwner {
  readonly #tcp: TcpResources
  readonly #options: TcpStackOptions
  readonly #guests = new Map<number, TcpGuest>()
  readonly #starved: Timer

  constructor(context: PacketContext, options: TcpStackOptions) {
    this.#options = options
    const { sockets, limits, gateway, icmp, journal } = options
    this.#tcp = new TcpResources(context, sockets, limits, gateway.mac, icmp, journal)
    this.#starved = new Timer(() => this.#serveStarved())
  }

  get flowCount(): number {
    return this.#tcp.table.size
  }

  /** Memory of bytes on their way, gaps included. */
  get poolBytes(): number {
    return this.#tcp.pool.usedBytes + this.#tcp.outOfOrderPool.usedBytes
  }

  /** Somebody was refused memory and is served again soon. */
  get awaitsMemory(): boolean {
    return this.#starved.isRunning
  }

  flowCountOf(port: GuestPort): number {
    return this.#guests.get(port.index)?.flows.size ?? 0
  }

  isOpen(port: GuestPort, key: FlowKey): boolean {
    const { remote0, remote1, remote2, remote3, guestPort, remotePort } = key
    const { table } = this.#tcp
    return table.find(port.index, remote0, remote1, remote2, remote3, guestPort, remotePort) !== undefined
  }

  *reports(): Iterable<FlowReport> {
    for (const guest of this.#guests.values()) for (const flow of guest.flows) yield flowReport(flow)
  }

  frame(port: GuestPort, frame: Frame): void {
    const tcp = this.#tcp
    const { view } = frame.buffer
    const at = frame.transport
    const guestPort = view.getUint16(at + SOURCE_PORT)
    const remotePort = view.getUint16(at + DESTINATION_PORT)
    const flow = tcp.table.find(
      port.index,
      frame.destination0,
      frame.destination1,
      frame.destination2,
      frame.destination3,
      guestPort,
      remotePort,
    )
    if (flow === undefined) this.#unknown(port, frame, guestPort, remotePort)
    else if (flow.state === TIME_WAIT && isNewSyn(flow, frame)) {
      // A new connection on the same ports, beyond the old one's numbers (RFC 9293 §3.10.7.4).
      removeFlow(tcp, flow, false)
      this.#unknown(port, frame, guestPort, remotePort)
    } else segmentArrives(tcp, flow, frame)
    if (tcp.pool.hasRefused) this.#awaitMemory()
  }

  /**
   * Joins a connected socket of the host to the guest's `guestPort`: the guest sees a connection from `remote` (words as in
   * address.ts) and `remotePort`, or another port where that one is taken. The descriptor is this stack's from now on.
   * `done` is told once whether the guest accepted.
   */
  openInbound(
    port: GuestPort,
    fd: number,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    remotePort: number,
    guestPort: number,
    done?: (accepted: boolean) => void,
  ): void {
    const tcp = this.#tcp
    const guest = this.#guestOf(port)
    if (port.isGone || !this.#hasRoom(guest)) {
      refuseInbound(tcp, fd, done)
      return
    }
    let freePort = remotePort
    for (let tries = 0; ; tries++) {
      const taken = tcp.table.find(port.index, remote0, remote1, remote2, remote3, guestPort, freePort)
      if (taken === undefined) break
      if (taken.state === TIME_WAIT) {
        removeFlow(tcp, taken, false)
        break
      }
      if (tries === PORT_TRIES) {
        refuseInbound(tcp, fd, done)
        return
      }
      freePort = FIRST_FREE_PORT + ((getRandomValues(new Uint16Array(1))[0] ?? 0) % FREE_PORTS)
    }
    const key: FlowKey = { remote0, remote1, remote2, remote3, guestPort, remotePort: freePort }
    openInbound(tcp, this, guest, key, fd, done)
  }

  /** The guest's device takes frames again. */
  portWritable(port: GuestPort): void {
    const guest = this.#guests.get(port.index)
    if (guest !== undefined) this.serve(guest)
  }

  /** Lets the guest's flows that wait have their turns. */
  serve(guest: TcpGuest): void {
    serveWaiting(this.#tcp, guest)
    if (this.#tcp.pool.hasRefused) this.#awaitMemory()
  }

  /**
   * The engine ends: both sides of the guest's connections see a reset. Those that are still being made do not: the guest
   * asks again, and the next engine makes them.
   */
  resetAll(port: GuestPort): void {
    const guest = this.#guests.get(port.index)
    if (guest === undefined) return
    for (const flow of [...guest.flows]) if (flow.state !== CONNECTING) resetFlow(this.#tcp, flow)
  }

  portGone(port: GuestPort): void {
    const guest = this.#guests.get(port.index)
    if (guest === undefined) return
    for (const flow of [...guest.flows, ...guest.timeWait]) removeFlow(this.#tcp, flow, true)
    this.#guests.delete(port.index)
  }

  /**
   * ICMP from the guest says that a segment of ours was too big for it (RFC 1191 §6.4, RFC 8201 §5.4). Believed only about
   * a sequence number that is in flight (RFC 5927 §4.1), and never below what every path takes.
   */
  icmpTooBig(
    port: GuestPort,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    guestPort: number,
    remotePort: number,
    sequence: number,
    mtu: number,
  ): void {
    const flow = this.#tcp.table.find(port.index, remote0, remote1, remote2, remote3, guestPort, remotePort)
    if (flow === undefined || flow.state !== ESTABLISHED) return
    if (((sequence - flow.sendUnacknowledged) | 0) < 0 || ((flow.sendMax - sequence) | 0) <= 0) return
    const mss = flow.isIpv6
      ? Math.max(DEFAULT_MSS_IPV6, mtu - IPV6_TCP_BYTES)
      : Math.max(DEFAULT_MSS_IPV4, mtu - IPV4_TCP_BYTES)
    if (mss >= flow.mss) return
    flow.mss = mss
    resendSmaller(this.#tcp, flow)
    if (this.#tcp.pool.hasRefused) this.#awaitMemory()
  }

  socketEvents(flow: TcpFlow, events: number): void {
    const tcp = this.#tcp
    if (flow.state === CONNECTING) {
      if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0) onConnectEvents(tcp, flow, events)
      return
    }
    noteReadable(flow, events)
    if ((events & EPOLLOUT) !== 0) {
      flow.isWritable = true
      flushWaiting(tcp, flow)
    }
    if (flow.state !== ESTABLISHED) return
    pump(tcp, flow, false)
    endWhenDone(tcp, flow)
    if (tcp.pool.hasRefused) this.#awaitMemory()
  }

  /**
   * One acknowledgement a turn, whatever came in it: a bulk transfer brings a dozen large frames. To hold it for longer was
   * measured and saves nothing. RFC 9293 §3.8.6.3.
   */
  endOfTurn(flow: TcpFlow): void {
    if (!flow.isAckDue || flow.state !== ESTABLISHED) return
    sendAck(this.#tcp, flow)
    endWhenDone(this.#tcp, flow)
  }

  retransmitTimer(flow: TcpFlow): void {
    onRetransmitTimer(this.#tcp, flow)
    endWhenDone(this.#tcp, flow)
    if (this.#tcp.pool.hasRefused) this.#awaitMemory()
  }

  lifeTimer(flow: TcpFlow): void {
    const tcp = this.#tcp
    if (flow.state === TIME_WAIT) {
      removeFlow(tcp, flow, false)
      return
    }
    const nextMs = nextLookMs(tcp, flow)
    if (nextMs === 0) resetFlow(tcp, flow)
    else tcp.context.timers.start(flow.lifeTimer, nextMs)
  }

  /** A segment of no flow: a SYN may open one, everything else gets a reset. */
  #unknown(port: GuestPort, frame: Frame, guestPort: number, remotePort: number): void {
    const tcp = this.#tcp
    // Answers go to the guest's own addresses: nothing comes from its link-local one.
    if (!isFromOwnAddress(port, frame)) {
      port.drop('unknown-protocol')
      return
    }
    const flags = frame.buffer.view.getUint8(frame.transport + FLAGS)
    if ((flags & (SYN | ACK | RST)) !== SYN) {
      sendResetFor(tcp, port, frame)
      return
    }
    const guest = this.#guestOf(port)
    if (!guest.newFlows.take(tcp.context.nowMs)) {
      // The guest asks again after a second: slower is what is wanted.
      port.drop('flow-rate')
      return
    }
    if (!this.#hasRoom(guest)) {
      port.drop('flow-limit')
      sendResetFor(tcp, port, frame)
      return
    }
    let connectedFd: number | undefined
    if (
      isGatewayAddress(
        this.#options.gateway,
        frame.destination0,
        frame.destination1,
        frame.destination2,
        frame.destination3,
      )
    )
      connectedFd = this.#options.localService(port, remotePort)
    else {
      const verdict = port.policy.verdict(
        frame.destination0,
        frame.destination1,
        frame.destination2,
        frame.destination3,
        PROTOCOL_TCP,
        remotePort,
      )
      if (verdict !== 'allowed') {
        port.drop(verdict)
        sendResetFor(tcp, port, frame)
        return
      }
    }
    const key: FlowKey = {
      remote0: frame.destination0,
      remote1: frame.destination1,
      remote2: frame.destination2,
      remote3: frame.destination3,
      guestPort,
      remotePort,
    }
    openOutbound(tcp, this, guest, key, frame, connectedFd)
  }

  #hasRoom(guest: TcpGuest): boolean {
    const { limits, table } = this.#tcp
    return guest.flows.size < limits.tcpFlows && table.size < limits.allTcpFlows
  }

  #guestOf(port: GuestPort): TcpGuest {
    let guest = this.#guests.get(port.index)
    if (guest === undefined) {
      guest = new TcpGuest(this, this.#tcp.context, port, this.#tcp.limits.newFlowsPerSecond)
      this.#guests.set(port.index, guest)
    }
    return guest
  }

  #awaitMemory(): void {
    const { timers, nowMs } = this.#tcp.context
    if (!this.#starved.isRunning) timers.start(this.#starved, nowMs + STARVED_MS)
  }

  #serveStarved(): void {
    // Careful: each guest's turn begins with a clean flag, so what one was refused counts before the next has its turn.
    for (const guest of this.#guests.values()) this.serve(guest)
  }
}

function isNewSyn(flow: TcpFlow, frame: Frame): boolean {
  const { view } = frame.buffer
  const at = frame.transport
  const isSyn = (view.getUint8(at + FLAGS) & (SYN | ACK | RST)) === SYN
  return isSyn && ((view.getInt32(at + SEQUENCE) - flow.receiveNext) | 0) > 0
}

function isFromOwnAddress(port: GuestPort, frame: Frame): boolean {
  if (!frame.isIpv6) return frame.source3 === port.ipv4
  const { ipv6 } = port
  return (
    frame.source3 === ipv6[3] &&
    frame.source2 === ipv6[2] &&
    frame.source1 === ipv6[1] &&
    frame.source0 === ipv6[0]
  )
}
