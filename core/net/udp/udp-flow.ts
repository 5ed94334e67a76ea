// One UDP flow: four numbers that name it, the host's socket for it, and when it was last of use. Made once for each flow.
import type { TableFlow } from '../flow/table-flow.ts'
import { PROTOCOL_UDP } from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import type { QuotedPacket } from '../icmp/icmp-errors.ts'
import type { SocketHandler, TurnTask } from '../packet/packet-context.ts'
import { Timer } from '../packet/timer-wheel.ts'
import type { UdpForward } from './udp-forward.ts'

/** Who keeps flows: told what happens to their sockets. */
export interface UdpFlowOwner {
  socketEvents(flow: UdpFlow, events: number): void
  /** There was more to receive than one turn's share. */
  continueReceiving(flow: UdpFlow): void
  expire(flow: UdpFlow, nowMs: number): void
}

/** A client of a published port, as its socket knows it: an entry of the table that finds the flow of a datagram. */
export class UdpClient implements TableFlow {
  /** UdpForward.index */
  readonly guestIndex: number
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
  readonly forward: UdpForward
  /** The address of the host that it sent to, and that answers come from; all 0 where it is not known. */
  local0 = 0
  local1 = 0
  local2 = 0
  local3 = 0
  flow: UdpFlow | undefined

  constructor(
    forward: UdpForward,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    remotePort: number,
  ) {
    this.forward = forward
    this.guestIndex = forward.index
    this.remote0 = remote0
    this.remote1 = remote1
    this.remote2 = remote2
    this.remote3 = remote3
    this.guestPort = forward.guestPort
    this.remotePort = remotePort
  }
}

export class UdpFlow implements TableFlow, QuotedPacket, SocketHandler, TurnTask {
  readonly protocol = PROTOCOL_UDP
  readonly sequence = 0
  readonly port: GuestPort
  readonly guestIndex: number
  /** The other end as the guest sees it. */
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
  readonly isIpv6: boolean
  /** The connected socket; of an inbound flow the one of its published port. */
  readonly fd: number
  token = 0
  /** Set in flows that came through a published port. */
  readonly client: UdpClient | undefined
  readonly startedAtMs: number
  activeAtMs: number
  /** Something came back to whoever began. */
  isAnswered = false
  isClosed = false
  inBytes = 0
  inDatagrams = 0
  outBytes = 0
  /** What the socket was told, -1 for the kernel's own. */
  hopLimit = -1
  /** Its socket got a larger receive buffer. */
  hasLargeBuffer = false
  /** The kernel takes trains of segments on this path (UDP_SEGMENT). */
  maySegment = true

  /** Of the owner: the guest's flows in the order of their last use. */
  newer: UdpFlow | undefined
  older: UdpFlow | undefined
  /** Of UdpOutput: what waits for the end of the turn. */
  firstPending = -1
  lastPending = -1
  isDue = false
  readonly timer: Timer
  readonly #owner: UdpFlowOwner

  constructor(
    owner: UdpFlowOwner,
    port: GuestPort,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    guestPort: number,
    remotePort: number,
    isIpv6: boolean,
    fd: number,
    nowMs: number,
    client: UdpClient | undefined,
  ) {
    this.#owner = owner
    this.port = port
    this.guestIndex = port.index
    this.remote0 = remote0
    this.remote1 = remote1
    this.remote2 = remote2
    this.remote3 = remote3
    this.guestPort = guestPort
    this.remotePort = remotePort
    this.isIpv6 = isIpv6
    this.fd = fd
    this.client = client
    this.startedAtMs = nowMs
    this.activeAtMs = nowMs
    this.timer = new Timer((firedAtMs) => owner.expire(this, firedAtMs))
  }

  onSocketEvents(events: number): void {
    this.#owner.socketEvents(this, events)
  }

  atEndOfTurn(): void {
    this.#owner.continueReceiving(this)
  }
}
