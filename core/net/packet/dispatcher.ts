// Where every frame of a guest begins: it is looked at once, in one order — shape, sender, wholeness, checksum, place — and
// handed to whoever carries its protocol. What arrives there is the guest's own, whole and intact. The order matters: nothing
// is answered that could have been sent in another's name.

import { MAPPED_PREFIX } from '../address.ts'
import type { Reassembly } from '../fragments/reassembly.ts'
import { isTransportChecksumRight } from '../frame/checksum.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import {
  DESTINATION_MAC,
  ETHER_ARP,
  GSO_NONE,
  NETWORK,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  SOURCE_MAC,
} from '../frame/layout.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { DHCP_SERVER_PORT } from '../gateway/dhcp.ts'
import { type GatewayIdentity, isGatewayAddress, subnetMask } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'
import {
  ICMP_ECHO,
  ICMP_TOO_BIG_CODE,
  ICMP_UNREACHABLE,
  ICMPV6_ECHO,
  ICMPV6_TOO_BIG,
  isIcmpError,
  MLD_QUERY,
  MLD2_REPORT,
  REDIRECT,
  ROUTER_SOLICITATION,
} from '../icmp/icmp-layout.ts'
import type { GuestSwitch } from '../switch/guest-switch.ts'
import type { GatewayWire } from './gateway-wire.ts'
import type { ProtocolHandler } from './protocol-handler.ts'
import { isSourceRight } from './source-check.ts'

const ICMP_REDIRECT = 5
const MULTICAST_BIT = 1

export interface DispatcherParts {
  readonly gateway: GatewayIdentity
  readonly wire: GatewayWire
  readonly guestSwitch: GuestSwitch
  readonly reassembly: Reassembly
  readonly icmp: IcmpErrors
  readonly tcp: ProtocolHandler
  readonly udp: ProtocolHandler
  readonly ping: ProtocolHandler
  /** Told of ICMP messages that say a packet of ours was too big for the guest. */
  readonly tooBig: (port: GuestPort, frame: Frame) => void
}

export class Dispatcher {
  readonly #parts: DispatcherParts
  readonly #gateway: GatewayIdentity
  readonly #subnet: number
  readonly #mask: number

  constructor(parts: DispatcherParts) {
    this.#parts = parts
    this.#gateway = parts.gateway
    this.#mask = subnetMask(parts.gateway.ipv4PrefixBits)
    this.#subnet = parts.gateway.ipv4Network & this.#mask
  }

  /** Handles the `lengthBytes` in the frame's buffer. Throws only for defects of ours. */
  frame(port: GuestPort, frame: Frame, lengthBytes: number): void {
    const dropped = parseFrame(frame, lengthBytes) ?? this.#ethernetFault(port, frame)
    if (dropped !== undefined) {
      port.drop(dropped)
      return
    }
    if (frame.etherType === ETHER_ARP) {
      this.#parts.wire.arp(port, frame)
      return
    }
    if (frame.isIpv6 && isMapped(frame)) {
      port.drop('closed-range')
      return
    }
    if (port.configuration === 'foreign' && frame.isIpv6) this.#learnAddress(port, frame)
    const isToGateway = this.#isToGateway(frame)
    if (!isSourceRight(port, frame, isToGateway)) {
      port.drop('spoofed-source')
      return
    }
    if (!frame.isFragment) {
      this.#packet(port, frame, isToGateway, false)
      return
    }
    const whole = this.#parts.reassembly.add(port, frame)
    if (whole !== undefined) this.#packet(port, whole, isToGateway, true)
  }

  #ethernetFault(port: GuestPort, frame: Frame): DropReason | undefined {
    const { bytes } = frame.buffer
    const { mac } = port
    const { mac: gatewayMac } = this.#gateway
    let isToGateway = true
    for (let index = 0; index < 6; index++) {
      if (bytes[SOURCE_MAC + index] !== mac[index]) return 'spoofed-source'
      if (bytes[DESTINATION_MAC + index] !== gatewayMac[index]) isToGateway = false
    }
    if (!isToGateway && ((bytes[DESTINATION_MAC] ?? 0) & MULTICAST_BIT) === 0) return 'foreign-mac'
    // Only with an offload may a packet be larger than the wire.
    if (frame.gsoType === GSO_NONE && frame.end - NETWORK > port.mtu) return 'oversized'
    return undefined
  }

  /**
   * A foreign guest makes its address by itself, out of the prefix that is advertised to it (RFC 4862): the one it uses is
   * its own, unless it is another's. Reserved addresses have zeros where such an interface identifier has 32 bits of its own.
   */
  #learnAddress(port: GuestPort, frame: Frame): void {
    const { source0, source1, source2, source3 } = frame
    const { ipv6 } = port
    if (source3 === ipv6[3] && source2 === ipv6[2]) return
    if (source0 !== this.#gateway.prefix0 || source1 !== this.#gateway.prefix1 || source2 === 0) return
    const { guestSwitch } = this.#parts
    if (guestSwitch.find(source0, source1, source2, source3) === undefined)
      guestSwitch.move(port, source0, source1, source2, source3)
  }

  #isToGateway(frame: Frame): boolean {
    const { destination0, destination1, destination2, destination3 } = frame
    return isGatewayAddress(this.#gateway, destination0, destination1, destination2, destination3)
  }

  /** A whole packet with the guest's source address. */
  #packet(port: GuestPort, frame: Frame, isToGateway: boolean, isReassembled: boolean): void {
    if (!frame.needsChecksum && !frame.isChecksumValid && !isTransportChecksumRight(frame)) {
      port.drop('bad-checksum')
      return
    }
    if (isToGateway) {
      this.#toGateway(port, frame)
      return
    }
    if (this.#isToMany(frame)) {
      this.#toMany(port, frame)
      return
    }
    if (frame.hopLimit <= 1) {
      port.drop('hop-limit')
      this.#parts.icmp.answer(port, frame, 'hop-limit')
      return
    }
    if (this.#isToGuest(frame)) {
      this.#parts.guestSwitch.forward(port, frame, isReassembled)
      return
    }
    this.#toWorld(port, frame)
  }

  #isToMany(frame: Frame): boolean {
    if (frame.isIpv6) return frame.destination0 >>> 24 === 0xff
    const address = frame.destination3
    return address >>> 28 === 14 || address === -1 || address === (this.#subnet | ~this.#mask)
  }

  #isToGuest(frame: Frame): boolean {
    if (frame.isIpv6)
      return frame.destination0 === this.#gateway.prefix0 && frame.destination1 === this.#gateway.prefix1
    return (frame.destination3 & this.#mask) === this.#subnet
  }

  #toWorld(port: GuestPort, frame: Frame): void {
    switch (frame.protocol) {
      case PROTOCOL_TCP:
        this.#parts.tcp.frame(port, frame)
        return
      case PROTOCOL_UDP:
        this.#parts.udp.frame(port, frame)
        return
      case PROTOCOL_ICMP:
        if (frame.isIpv6) break
        this.#icmpToWorld(port, frame)
        return
      case PROTOCOL_ICMPV6:
        if (!frame.isIpv6) break
        this.#icmpToWorld(port, frame)
        return
    }
    port.drop('unknown-protocol')
    this.#parts.icmp.answer(port, frame, 'protocol-unreachable')
  }

  #icmpToWorld(port: GuestPort, frame: Frame): void {
    const { view } = frame.buffer
    const type = view.getUint8(frame.transport)
    if (type === (frame.isIpv6 ? ICMPV6_ECHO : ICMP_ECHO)) {
      this.#parts.ping.frame(port, frame)
      return
    }
    if (frame.isIpv6 ? isNeighbourMessage(type) : type === ICMP_REDIRECT) {
      port.drop('gateway-lie')
      return
    }
    if (isIcmpError(frame.isIpv6, type)) this.#hear(port, frame, type)
    else port.drop('unknown-protocol')
  }

  #toGateway(port: GuestPort, frame: Frame): void {
    switch (frame.protocol) {
      case PROTOCOL_TCP:
        this.#parts.tcp.frame(port, frame)
        return
      case PROTOCOL_UDP:
        if (!frame.isIpv6 && frame.buffer.view.getUint16(frame.transport + 2) === DHCP_SERVER_PORT)
          this.#parts.wire.dhcp(port, frame)
        else this.#parts.udp.frame(port, frame)
        return
      case PROTOCOL_ICMP:
        if (frame.isIpv6) break
        this.#icmpToGateway(port, frame)
        return
      case PROTOCOL_ICMPV6:
        if (!frame.isIpv6) break
        this.#icmpToGateway(port, frame)
        return
    }
    port.drop('unknown-protocol')
    this.#parts.icmp.answer(port, frame, 'protocol-unreachable')
  }

  #icmpToGateway(port: GuestPort, frame: Frame): void {
    const type = frame.buffer.view.getUint8(frame.transport)
    if (type === (frame.isIpv6 ? ICMPV6_ECHO : ICMP_ECHO)) this.#parts.wire.echo(port, frame)
    else if (frame.isIpv6 && isNeighbourMessage(type)) this.#parts.wire.neighbour(port, frame)
    else if (!frame.isIpv6 && type === ICMP_REDIRECT) port.drop('gateway-lie')
    else if (isIcmpError(frame.isIpv6, type)) this.#hear(port, frame, type)
    else port.drop('unknown-protocol')
  }

  /** To groups and broadcast addresses: what a host on a wire must say there, and nothing else. */
  #toMany(port: GuestPort, frame: Frame): void {
    const { view } = frame.buffer
    if (!frame.isIpv6) {
      const isDhcp =
        frame.protocol === PROTOCOL_UDP && view.getUint16(frame.transport + 2) === DHCP_SERVER_PORT
      if (isDhcp) this.#parts.wire.dhcp(port, frame)
      else port.drop('multicast')
      return
    }
    const type = frame.protocol === PROTOCOL_ICMPV6 ? view.getUint8(frame.transport) : 0
    if (isNeighbourMessage(type)) this.#parts.wire.neighbour(port, frame)
    // Reports of groups are heard and need no answer: there are no other members.
    else if ((type < MLD_QUERY || type > MLD_QUERY + 2) && type !== MLD2_REPORT) port.drop('multicast')
  }

  /** An ICMP error from the guest: that a packet of ours was too big matters, the rest is the guest's own affair. */
  #hear(port: GuestPort, frame: Frame, type: number): void {
    const code = frame.buffer.view.getUint8(frame.transport + 1)
    const isTooBig = frame.isIpv6
      ? type === ICMPV6_TOO_BIG
      : type === ICMP_UNREACHABLE && code === ICMP_TOO_BIG_CODE
    if (isTooBig) this.#parts.tooBig(port, frame)
  }
}

/**
 * IPv4 in an IPv6 header (::ffff:0:0/96) is no address of a wire (RFC 4291 §2.5.5.2), and here it would read as an address of
 * IPv4, which such a packet is not.
 */
function isMapped(frame: Frame): boolean {
  return (
    (frame.destination0 === 0 && frame.destination1 === 0 && frame.destination2 === MAPPED_PREFIX) ||
    (frame.source0 === 0 && frame.source1 === 0 && frame.source2 === MAPPED_PREFIX)
  )
}

function isNeighbourMessage(type: number): boolean {
  return type >= ROUTER_SOLICITATION && type <= REDIRECT
}
