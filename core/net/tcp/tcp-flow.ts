// The state of one TCP connection: between a guest, whose TCP ends here, and a stream socket of the host. One class with
// every field set in its constructor; the files around it are functions over it. Names follow RFC 9293 §3.3.1 where it has
// one: SND.UNA is `sendUnacknowledged`, RCV.NXT is `receiveNext`. Sequence numbers are 32-bit and compared by `(a - b) | 0`.
import { MAPPED_PREFIX } from '../address.ts'
import { type JournaledFlow, NO_SLOT } from '../flow/flow-journal.ts'
import { PROTOCOL_TCP } from '../frame/layout.ts'
import type { GuestPort } from '../guest-port.ts'
import type { QuotedPacket } from '../icmp/icmp-errors.ts'
import type { SocketHandler, TurnTask } from '../packet/packet-context.ts'
import { Timer } from '../packet/timer-wheel.ts'
import type { OutOfOrder } from './out-of-order.ts'
import type { SackScoreboard } from './sack-scoreboard.ts'
import type { SendStore } from './send-store.ts'
import type { TcpGuest } from './tcp-guest.ts'
import { DEFAULT_MSS_IPV4, DEFAULT_MSS_IPV6 } from './tcp-header.ts'
import type { WaitingBytes } from './waiting-bytes.ts'

/** The guest's SYN is here, the host's socket is not connected yet. */
export const CONNECTING = 0
export const SYN_RECEIVED = 1
export const SYN_SENT = 2
/** And all states of closing up to TIME-WAIT, which the flags tell apart. */
export const ESTABLISHED = 3
export const TIME_WAIT = 4
export const CLOSED = 5
export type TcpState = 0 | 1 | 2 | 3 | 4 | 5

/** What the retransmission timer waits for. */
export const TIMER_NONE = 0
export const TIMER_RETRANSMIT = 1
export const TIMER_TAIL_PROBE = 2
export const TIMER_PERSIST = 3
export type RetransmitTimerKind = 0 | 1 | 2 | 3

/** Who the events of a flow go to: the stack. */
export interface FlowOwner {
  socketEvents(flow: TcpFlow, events: number): void
  endOfTurn(flow: TcpFlow): void
  retransmitTimer(flow: TcpFlow, nowMs: number): void
  lifeTimer(flow: TcpFlow, nowMs: number): void
}

export interface FlowKey {
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
}

export class TcpFlow implements JournaledFlow, SocketHandler, TurnTask, QuotedPacket {
  readonly owner: FlowOwner
  readonly guest: TcpGuest
  readonly port: GuestPort
  readonly guestIndex: number
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
  readonly protocol = PROTOCOL_TCP
  readonly isIpv6: boolean
  /** Opened from the host: a published port, `net connect`. */
  readonly isInbound: boolean
  state: TcpState

  // The host's socket.
  fd = -1
  watchToken = -1
  isReadable = false
  /** The peer has closed, reset or sent urgent data: a short read does not mean that nothing follows. */
  readsMayBeShort = false
  isWritable = false
  /** Nothing more is read from it. */
  isEof = false
  /** It failed: the guest gets a reset once it has what was read before. */
  isBroken = false
  isWriteShut = false

  // To the guest.
  initialSend = 0
  sendUnacknowledged = 0
  sendNext = 0
  /** Behind the highest byte ever sent: `sendNext` goes back after a loss. */
  sendMax = 0
  sendWindow = 0
  largestSendWindow = 0
  sendWindowShift = 0
  /** SND.WL1, SND.WL2: what the last window update came with. */
  windowSequence = 0
  windowAcknowledgment = 0
  mss: number
  readonly store: SendStore
  isFinSent = false
  isFinAcknowledged = false
  /** In flight as it is charged to the guest's budget. */
  chargedBytes = 0
  isWaiting = false
  nextWaiting: TcpFlow | undefined = undefined

  // From the guest.
  initialReceive = 0
  receiveNext = 0
  /** The right edge of the window that the guest was told, which never goes back. */
  receiveEdge = 0
  /** -1: the guest scales no windows. */
  receiveWindowShift = -1
  acknowledged = 0
  hasSack = false
  isDue = false
  isAckDue = false
  /** The guest's FIN, once it is known. */
  isFinKnown = false
  finSequence = 0
  /** All before the guest's FIN is here. */
  isFinReceived = false
  /** It was here before ours was sent. */
  isPassiveClose = false
  outOfOrder: OutOfOrder | undefined = undefined
  waiting: WaitingBytes | undefined = undefined

  // Retransmission.
  readonly retransmitTimer: Timer
  timerKind: RetransmitTimerKind = TIMER_NONE
  timerDueMs = 0
  smoothedRttMs = -1
  rttVariationMs = 0
  retransmitTimeoutMs = 1_000
  backoff = 0
  /** Retransmissions and probes since the guest last acknowledged anything. */
  unanswered = 0
  unansweredFromMs = 0
  /** A sample of the round trip is taken when this is acknowledged. */
  timedSequence = 0
  timedAtMs = -1
  duplicates = 0
  isRecovering = false
  recoverUntil = 0
  holeNext = 0
  holePassAtMs = 0
  isTailProbed = false
  congestionBytes: number
  sack: SackScoreboard | undefined = undefined

  // Its life.
  readonly lifeTimer: Timer
  readonly startedAtMs: number
  activeAtMs: number
  /** From the guest's point of view: `inBytes` come to it. */
  inBytes = 0
  outBytes = 0
  challengesFromMs = 0
  challenges = 0
  onDecided: ((accepted: boolean) => void) | undefined = undefined
  journalSlot = NO_SLOT

  constructor(
    owner: FlowOwner,
    guest: TcpGuest,
    key: FlowKey,
    isInbound: boolean,
    state: TcpState,
    store: SendStore,
    congestionBytes: number,
    nowMs: number,
  ) {
    this.owner = owner
    this.guest = guest
    this.port = guest.port
    this.guestIndex = guest.port.index
    this.remote0 = key.remote0
    this.remote1 = key.remote1
    this.remote2 = key.remote2
    this.remote3 = key.remote3
    this.guestPort = key.guestPort
    this.remotePort = key.remotePort
    this.isIpv6 = !(key.remote0 === 0 && key.remote1 === 0 && key.remote2 === MAPPED_PREFIX)
    this.isInbound = isInbound
    this.state = state
    this.mss = this.isIpv6 ? DEFAULT_MSS_IPV6 : DEFAULT_MSS_IPV4
    this.store = store
    this.congestionBytes = congestionBytes
    this.retransmitTimer = new Timer((now) => this.owner.retransmitTimer(this, now))
    this.lifeTimer = new Timer((now) => this.owner.lifeTimer(this, now))
    this.startedAtMs = nowMs
    this.activeAtMs = nowMs
  }

  /** Of the guest's SYN, for ICMP. */
  get sequence(): number {
    return this.initialReceive
  }

  onSocketEvents(events: number): void {
    this.owner.socketEvents(this, events)
  }

  atEndOfTurn(): void {
    this.owner.endOfTurn(this)
  }
}
