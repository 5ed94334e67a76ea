// One ping of a guest: the identifier that it chose, who it asks, and the identifier that the host's network sees.
import type { TableFlow } from '../flow/table-flow.ts'
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import type { QuotedPacket } from '../icmp/icmp-errors.ts'
import { Timer } from '../packet/timer-wheel.ts'
import type { EchoPath } from './echo-path.ts'

export class PingFlow implements TableFlow, QuotedPacket {
  readonly port: GuestPort
  readonly guestIndex: number
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  /** The guest's identifier. */
  readonly guestPort: number
  readonly remotePort = 0
  readonly isIpv6: boolean
  readonly protocol: number
  /** Of the request that an error is about. */
  sequence = 0
  readonly path: EchoPath
  /** Of the path: the identifier on a raw socket, or the flow's own socket and its token. */
  hostIdentifier = 0
  fd = -1
  token = 0
  readonly startedAtMs: number
  activeAtMs: number
  isAnswered = false
  inBytes = 0
  outBytes = 0
  readonly timer: Timer

  constructor(
    port: GuestPort,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    identifier: number,
    isIpv6: boolean,
    path: EchoPath,
    nowMs: number,
    expire: (flow: PingFlow, nowMs: number) => void,
  ) {
    this.port = port
    this.guestIndex = port.index
    this.remote0 = remote0
    this.remote1 = remote1
    this.remote2 = remote2
    this.remote3 = remote3
    this.guestPort = identifier
    this.isIpv6 = isIpv6
    this.protocol = isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP
    this.path = path
    this.startedAtMs = nowMs
    this.activeAtMs = nowMs
    this.timer = new Timer((firedAtMs) => expire(this, firedAtMs))
  }
}
