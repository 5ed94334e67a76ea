// The gateway on every guest's wire: neighbour to all of them, router, DHCP server, and a host that answers pings. The
// dispatcher hands it ARP frames, neighbour discovery and DHCP; it answers at once, from the context's transmit buffer.

import { TokenBucket } from '../flow/rate-limit.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import type { GuestPort } from '../guest-port.ts'
import { ROUTER_SOLICITATION } from '../icmp/icmp-layout.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { Timer } from '../packet/timer-wheel.ts'
import { announceByArp, answerArp, arpFault } from './arp.ts'
import { answerDhcp, type DhcpNames, dhcpFault } from './dhcp.ts'
import { encodeDomainNames } from './domain-names.ts'
import { answerEcho } from './echo.ts'
import type { GatewayIdentity } from './gateway-identity.ts'
import { announceByAdvertisement, answerSolicitation, neighbourFault } from './neighbour-discovery.ts'
import { ADVERTISEMENT_INTERVAL_MS, writeRouterAdvertisement } from './router-advertisement.ts'

/** Frames of a guest that the gateway answers in a second, of all kinds together: ARP, discovery, DHCP. */
const ANSWERS_PER_SECOND = 1_000

export interface GatewayOptions {
  readonly identity: GatewayIdentity
  /** The zone of guests' names: the domain of DHCP. */
  readonly zone: string
  readonly echoesPerSecond: number
}

/** What the gateway keeps of a guest: what to tell it, and how often. */
interface GuestState {
  readonly names: DhcpNames
  readonly echoes: TokenBucket
  readonly answers: TokenBucket
  readonly advertisement: Timer
}

export class Gateway {
  readonly #context: PacketContext
  readonly #options: GatewayOptions
  readonly #identity: GatewayIdentity
  readonly #writer: DatagramWriter
  readonly #guests = new Map<GuestPort, GuestState>()

  constructor(context: PacketContext, options: GatewayOptions) {
    this.#context = context
    this.#options = options
    this.#identity = options.identity
    this.#writer = new DatagramWriter(context.transmit, options.identity.mac)
  }

  /**
   * Begins to serve a guest: tells it who the gateway is (one gratuitous ARP, unsolicited neighbour advertisements, a router
   * advertisement), which puts right what it knew of an engine before this one. `search` is its list of search domains.
   */
  portAdded(port: GuestPort, search: readonly string[]): void {
    const advertisement = new Timer((nowMs) => {
      this.#advertise(port)
      this.#context.timers.start(advertisement, nowMs + ADVERTISEMENT_INTERVAL_MS)
    })
    this.#guests.set(port, {
      names: {
        hostName: encodeHostName(port.name),
        domainName: encodeHostName(this.#options.zone),
        search: encodeDomainNames(search),
      },
      echoes: new TokenBucket(this.#options.echoesPerSecond),
      answers: new TokenBucket(ANSWERS_PER_SECOND),
      advertisement,
    })
    this.#announce(port)
    advertisement.fire(this.#context.nowMs)
  }

  portGone(port: GuestPort): void {
    const state = this.#guests.get(port)
    if (state !== undefined) this.#context.timers.stop(state.advertisement)
    this.#guests.delete(port)
  }

  /** An ARP frame, whoever it is addressed to. */
  arp(port: GuestPort, frame: Frame): void {
    if (!this.#isHonest(port, arpFault(port, frame))) return
    const bytes = answerArp(port, frame, this.#identity, this.#context.transmit)
    if (bytes > 0) port.send(this.#context.transmit, bytes)
  }

  /** A message of ICMPv6 types 133 to 137, whoever it is addressed to. */
  neighbourDiscovery(port: GuestPort, frame: Frame): void {
    if (!this.#isHonest(port, neighbourFault(port, frame, this.#identity))) return
    if (frame.buffer.view.getUint8(frame.transport) === ROUTER_SOLICITATION) {
      this.#advertise(port)
      return
    }
    const bytes = answerSolicitation(port, frame, this.#identity, this.#context.transmit)
    if (bytes > 0) port.send(this.#context.transmit, bytes)
  }

  /** A UDP datagram to port 67: broadcast, or to the gateway. */
  dhcp(port: GuestPort, frame: Frame): void {
    const state = this.#guests.get(port)
    if (state === undefined || !this.#isHonest(port, dhcpFault(port, frame))) return
    const bytes = answerDhcp(port, frame, this.#identity, state.names, this.#context.transmit)
    if (bytes > 0) port.send(this.#context.transmit, bytes)
  }

  /** An echo request to one of the gateway's addresses. */
  echo(port: GuestPort, frame: Frame): void {
    if (this.#guests.get(port)?.echoes.take(this.#context.nowMs) === true)
      answerEcho(port, frame, this.#writer)
    else port.drop('rate')
  }

  #isHonest(port: GuestPort, fault: DropReason | undefined): boolean {
    if (fault !== undefined) {
      port.drop(fault)
      return false
    }
    if (this.#guests.get(port)?.answers.take(this.#context.nowMs) === true) return true
    port.drop('rate')
    return false
  }

  #announce(port: GuestPort): void {
    const { transmit } = this.#context
    const { ipv6, linkLocal } = this.#identity
    port.send(transmit, announceByArp(port, this.#identity, transmit))
    port.send(transmit, announceByAdvertisement(port, this.#identity, ipv6, transmit))
    port.send(transmit, announceByAdvertisement(port, this.#identity, linkLocal, transmit))
  }

  #advertise(port: GuestPort): void {
    const { transmit } = this.#context
    const search = this.#guests.get(port)?.names.search ?? new Uint8Array(0)
    port.send(transmit, writeRouterAdvertisement(transmit, port, this.#identity, search))
  }
}

/** A name as a host may have (RFC 1123 §2.1): what is none of its letters becomes a hyphen. */
function encodeHostName(name: string): Uint8Array {
  const clean = name.replace(/[^A-Za-z0-9.-]/g, '-').slice(0, 63)
  return Uint8Array.from(Buffer.from(clean, 'latin1'))
}
