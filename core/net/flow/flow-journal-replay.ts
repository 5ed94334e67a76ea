// After an engine was killed: a guest that only receives would wait for ever on connections that nobody carries any more. Each
// connection that the journal remembers is provoked: a segment that cannot be in its window must be acknowledged (RFC 9293
// §3.10.7.4), that acknowledgement is of no flow of ours, and the reset which answers it has exactly the number that the guest
// expects (RFC 5961 §3.2). A guest that does not know the connection any more says so, and nothing comes of it.
import { getRandomValues } from 'node:crypto'
import { IPV6_HEADER_BYTES, NETWORK, PROTOCOL_TCP, TCP_HEADER_BYTES } from '../frame/layout.ts'
import { setPartialChecksum, writeNetworkHeaders } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { Timer } from '../packet/timer-wheel.ts'
import {
  ACK,
  ACKNOWLEDGMENT,
  CHECKSUM,
  DESTINATION_PORT,
  OFFSET_AND_FLAGS,
  SEQUENCE,
  SOURCE_PORT,
  URGENT_POINTER,
  WINDOW,
} from '../tcp/tcp-header.ts'
import { type FlowJournal, guestKey, type OldFlow } from './flow-journal.ts'

/** Flows of a turn, and the time between turns: what a vif's ring and a TAP's queue take beside everything else. */
const FLOWS_PER_TURN = 64
const TURN_MS = 10
/** All are provoked once more after this, for frames are lost. */
const AGAIN_MS = 3_000
const PASSES = 2
/** Guests that are not back by then have ended. */
const WAIT_MS = 60_000
/** Of two numbers so far apart one lies outside of every window, which has 2^30 bytes at most (RFC 7323 §2.3). */
const FAR = 0x8000_0000 | 0
const IPV6_DESTINATION = NETWORK + 24

export interface FlowJournalReplayOptions {
  readonly context: PacketContext
  readonly gatewayMac: Uint8Array
  readonly journal: FlowJournal
  /** Whether the flow is open again. */
  readonly isOpen: (port: GuestPort, flow: OldFlow) => boolean
}

class Round {
  readonly port: GuestPort
  readonly flows: readonly OldFlow[]
  next = 0
  pass = 0
  dueMs: number
  /** A device that takes nothing for so long has nobody behind it. */
  readonly endMs: number

  constructor(port: GuestPort, flows: readonly OldFlow[], nowMs: number) {
    this.port = port
    this.flows = flows
    this.dueMs = nowMs
    this.endMs = nowMs + WAIT_MS
  }
}

export class FlowJournalReplay implements Disposable {
  readonly #options: FlowJournalReplayOptions
  /** Of guests that are not back. */
  readonly #missing: Map<string, readonly OldFlow[]>
  readonly #rounds = new Map<GuestPort, Round>()
  readonly #turn: Timer
  readonly #expiry: Timer

  constructor(options: FlowJournalReplayOptions) {
    const { context, journal } = options
    this.#options = options
    this.#missing = new Map(journal.old)
    this.#turn = new Timer((nowMs) => this.#onTurn(nowMs))
    this.#expiry = new Timer(() => this.#giveUp())
    if (this.#missing.size > 0) context.timers.start(this.#expiry, context.nowMs + WAIT_MS)
  }

  /** A guest is here: its old connections are ended, little by little. */
  guestAdded(port: GuestPort): void {
    const key = guestKey(port)
    const flows = this.#missing.get(key)
    if (flows === undefined) return
    this.#missing.delete(key)
    const { context } = this.#options
    this.#rounds.set(port, new Round(port, flows, context.nowMs))
    context.timers.start(this.#turn, context.nowMs)
  }

  guestGone(port: GuestPort): void {
    const round = this.#rounds.get(port)
    if (round === undefined) return
    this.#rounds.delete(port)
    this.#forget(round.flows)
  }

  [Symbol.dispose](): void {
    const { timers } = this.#options.context
    timers.stop(this.#turn)
    timers.stop(this.#expiry)
  }

  #onTurn(nowMs: number): void {
    let budget = FLOWS_PER_TURN
    let nextMs = Number.POSITIVE_INFINITY
    for (const round of this.#rounds.values()) {
      if (round.dueMs <= nowMs && budget > 0) budget -= this.#provokeSome(round, budget)
      if (round.next === round.flows.length) {
        round.next = 0
        round.pass++
        round.dueMs = nowMs + AGAIN_MS
      }
      if (round.pass < PASSES && nowMs < round.endMs)
        nextMs = Math.min(nextMs, Math.max(round.dueMs, nowMs + TURN_MS))
      else this.guestGone(round.port)
    }
    if (nextMs !== Number.POSITIVE_INFINITY) this.#options.context.timers.start(this.#turn, nextMs)
  }

  /** Returns how many. It stops where the guest's device is full, and goes on there in a later turn. */
  #provokeSome(round: Round, most: number): number {
    const { port, flows } = round
    const end = Math.min(flows.length, round.next + most)
    const first = round.next
    for (; round.next < end; round.next++) {
      const flow = flows[round.next]
      if (flow === undefined || this.#options.isOpen(port, flow)) continue
      if (!this.#provoke(port, flow)) break
    }
    return round.next - first
  }

  #provoke(port: GuestPort, flow: OldFlow): boolean {
    const [sequence = 0, acknowledgment = 0] = getRandomValues(new Int32Array(2))
    return (
      this.#send(port, flow, sequence, acknowledgment) &&
      this.#send(port, flow, (sequence + FAR) | 0, acknowledgment)
    )
  }

  #send(port: GuestPort, flow: OldFlow, sequence: number, acknowledgment: number): boolean {
    const { context, gatewayMac } = this.#options
    const target = context.transmit
    const { view } = target
    const { remote0, remote1, remote2, remote3, guestIpv6 } = flow
    const at = writeNetworkHeaders(
      target,
      port,
      gatewayMac,
      remote0,
      remote1,
      remote2,
      remote3,
      PROTOCOL_TCP,
      TCP_HEADER_BYTES,
    )
    // It may have had another than that which we expect of it before it has said anything.
    if (at === NETWORK + IPV6_HEADER_BYTES)
      for (let index = 0; index < 4; index++)
        view.setInt32(IPV6_DESTINATION + 4 * index, guestIpv6[index] ?? 0)
    view.setUint16(at + SOURCE_PORT, flow.remotePort)
    view.setUint16(at + DESTINATION_PORT, flow.guestPort)
    view.setInt32(at + SEQUENCE, sequence)
    view.setInt32(at + ACKNOWLEDGMENT, acknowledgment)
    view.setUint16(at + OFFSET_AND_FLAGS, (TCP_HEADER_BYTES << 10) | ACK)
    view.setUint16(at + WINDOW, 0)
    view.setUint16(at + URGENT_POINTER, 0)
    setPartialChecksum(target, at, CHECKSUM, TCP_HEADER_BYTES, PROTOCOL_TCP)
    return port.send(target, at + TCP_HEADER_BYTES)
  }

  #giveUp(): void {
    for (const flows of this.#missing.values()) this.#forget(flows)
    this.#missing.clear()
  }

  #forget(flows: readonly OldFlow[]): void {
    for (const flow of flows) this.#options.journal.forget(flow)
  }
}
