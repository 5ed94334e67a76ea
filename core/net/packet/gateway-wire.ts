// The gateway as a neighbour on each guest's wire: joins the protocols of core/net/gateway to ports, with their limits, and
// says by itself what a router says: who it is, after a guest has come, and router advertisements from time to time.
import { TokenBucket } from '../flow/rate-limit.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import { announceByArp, answerArp, arpFault } from '../gateway/arp.ts'
import { answerDhcp, type DhcpNames, dhcpFault } from '../gateway/dhcp.ts'
import { encodeDomainNames } from '../gateway/domain-names.ts'
import { answerEcho } from '../gateway/echo.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import {
  announceByAdvertisement,
  answerSolicitation,
  neighbourFault,
} from '../gateway/neighbour-discovery.ts'
import { ADVERTISEMENT_INTERVAL_MS, writeRouterAdvertisement } from '../gateway/router-advertisement.ts'
import type { GuestPort } from '../guest-port.ts'
import { ROUTER_SOLICITATION } from '../icmp/icmp-layout.ts'
import type { PacketContext } from './packet-context.ts'
import { Timer } from './timer-wheel.ts'

/** What the wire of one guest needs: made when the guest comes. */
class WireGuest {
  readonly echoes: TokenBucket
  readonly questions: TokenBucket
  readonly names: DhcpNames
  readonly timer: Timer

  constructor(echoesPerSecond: number, names: DhcpNames, advertise: (nowMs: number) => void) {
    this.echoes = new TokenBucket(echoesPerSecond)
    this.questions = new TokenBucket(echoesPerSecond)
    this.names = names
    this.timer = new Timer(advertise)
  }
}

export interface GatewayWireOptions {
  readonly context: PacketContext
  readonly gateway: GatewayIdentity
  readonly zone: string
  readonly echoesPerSecond: number
}

export class GatewayWire {
  readonly #options: GatewayWireOptions
  readonly #writer: DatagramWriter
  readonly #guests = new Map<GuestPort, WireGuest>()

  constructor(options: GatewayWireOptions) {
    this.#options = options
    this.#writer = new DatagramWriter(options.context.transmit, options.gateway.mac)
  }

  /** A guest has come: tells it who the gateway is, whoever that was before (RFC 5227 §2.3, RFC 4861 §7.2.6). */
  add(port: GuestPort, search: readonly string[]): void {
    const { zone, echoesPerSecond } = this.#options
    const names: DhcpNames = {
      hostName: Buffer.from(port.name, 'latin1'),
      domainName: Buffer.from(zone, 'latin1'),
      search: encodeDomainNames(search),
    }
    const guest = new WireGuest(echoesPerSecond, names, (nowMs) => this.#advertise(port, guest, nowMs))
    this.#guests.set(port, guest)
    this.#announce(port)
    this.#advertise(port, guest, this.#options.context.nowMs)
  }

  portGone(port: GuestPort): void {
    const guest = this.#guests.get(port)
    if (guest !== undefined) this.#options.context.timers.stop(guest.timer)
    this.#guests.delete(port)
  }

  arp(port: GuestPort, frame: Frame): void {
    const { context, gateway } = this.#options
    const fault = arpFault(port, frame) ?? this.#tooMany(port)
    if (fault !== undefined) port.drop(fault)
    else {
      const bytes = answerArp(port, frame, gateway, context.transmit)
      if (bytes > 0) port.send(context.transmit, bytes)
    }
  }

  /** Messages of types 133 to 137. */
  neighbour(port: GuestPort, frame: Frame): void {
    const { context, gateway } = this.#options
    const fault = neighbourFault(port, frame, gateway) ?? this.#tooMany(port)
    if (fault !== undefined) {
      port.drop(fault)
      return
    }
    const guest = this.#guests.get(port)
    const isRouterAsked = frame.buffer.view.getUint8(frame.transport) === ROUTER_SOLICITATION
    if (isRouterAsked && guest !== undefined) {
      this.#advertise(port, guest, context.nowMs)
      return
    }
    const bytes = answerSolicitation(port, frame, gateway, context.transmit)
    if (bytes > 0) port.send(context.transmit, bytes)
  }

  /** A datagram to port 67. */
  dhcp(port: GuestPort, frame: Frame): void {
    const { context, gateway } = this.#options
    const fault = dhcpFault(port, frame) ?? this.#tooMany(port)
    const guest = this.#guests.get(port)
    if (fault !== undefined) port.drop(fault)
    else if (guest !== undefined) {
      const bytes = answerDhcp(port, frame, gateway, guest.names, context.transmit)
      if (bytes > 0) port.send(context.transmit, bytes)
    }
  }

  /** A ping of the gateway. */
  echo(port: GuestPort, frame: Frame): void {
    if (this.#guests.get(port)?.echoes.take(this.#options.context.nowMs))
      answerEcho(port, frame, this.#writer)
    else port.drop('rate')
  }

  #announce(port: GuestPort): void {
    const { context, gateway } = this.#options
    port.send(context.transmit, announceByArp(port, gateway, context.transmit))
    for (const address of [gateway.ipv6, gateway.linkLocal])
      port.send(context.transmit, announceByAdvertisement(port, gateway, address, context.transmit))
  }

  #tooMany(port: GuestPort): 'rate' | undefined {
    return this.#guests.get(port)?.questions.take(this.#options.context.nowMs) ? undefined : 'rate'
  }

  #advertise(port: GuestPort, guest: WireGuest, nowMs: number): void {
    const { context, gateway } = this.#options
    const bytes = writeRouterAdvertisement(context.transmit, port, gateway, guest.names.search)
    port.send(context.transmit, bytes)
    context.timers.start(guest.timer, nowMs + ADVERTISEMENT_INTERVAL_MS)
  }
}
