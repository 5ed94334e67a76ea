// Guest to guest: routed like everything else, one hop, without ending any connection. The frame goes on as it is, a large
// one whole and with its checksum still open: only the hop limit, both MACs and nothing of the payload change.
import { MAPPED_PREFIX } from '../address.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import { replacedWord } from '../frame/checksum.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import { largestPacketBytes } from '../frame/largest-packet.ts'
import {
  DESTINATION_MAC,
  FLAG_NEEDS_CHECKSUM,
  NETWORK,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  SOURCE_MAC,
  VIRTIO_FLAGS,
} from '../frame/layout.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'
import {
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  ROUTER_SOLICITATION,
} from '../icmp/icmp-layout.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { PeerAnswers } from './peer-answers.ts'

const SYN_OF_SYN_ACK = 0x12
const SYN = 0x02
const DHCP_SERVER_PORT = 67
const DHCP_CLIENT_PORT = 68
const DHCPV6_CLIENT_PORT = 546
const DHCPV6_SERVER_PORT = 547
/** Of UDP, ICMP and ICMPv6 alike. */
const DATAGRAM_HEAD_BYTES = 8
const ICMP_REDIRECT = 5
const ICMPV6_REDIRECT = 137

export class GuestSwitch {
  readonly #context: PacketContext
  readonly #gateway: GatewayIdentity
  readonly #icmp: IcmpErrors
  readonly #byIpv4 = new Map<number, GuestPort>()
  /** By the last word, which is a guest's number: seldom more than one. */
  readonly #byIpv6 = new Map<number, GuestPort[]>()
  readonly #answers = new PeerAnswers()
  readonly #writer: DatagramWriter

  constructor(context: PacketContext, gateway: GatewayIdentity, icmp: IcmpErrors) {
    this.#context = context
    this.#gateway = gateway
    this.#icmp = icmp
    this.#writer = new DatagramWriter(context.transmit, gateway.mac)
  }

  add(port: GuestPort): void {
    this.#byIpv4.set(port.ipv4, port)
    this.#byIpv6.set(port.ipv6[3], [...(this.#byIpv6.get(port.ipv6[3]) ?? []), port])
  }

  remove(port: GuestPort): void {
    if (this.#byIpv4.get(port.ipv4) === port) this.#byIpv4.delete(port.ipv4)
    const others = (this.#byIpv6.get(port.ipv6[3]) ?? []).filter((other) => other !== port)
    if (others.length > 0) this.#byIpv6.set(port.ipv6[3], others)
    else this.#byIpv6.delete(port.ipv6[3])
  }

  /** The guest has this IPv6 address from now on, in place of the one before. */
  move(port: GuestPort, word0: number, word1: number, word2: number, word3: number): void {
    this.remove(port)
    port.ipv6 = [word0, word1, word2, word3]
    this.add(port)
  }

  /** The guest that has this address (words as in address.ts). */
  find(word0: number, word1: number, word2: number, word3: number): GuestPort | undefined {
    if (word0 === 0 && word1 === 0 && word2 === MAPPED_PREFIX) return this.#byIpv4.get(word3)
    const ports = this.#byIpv6.get(word3)
    if (ports === undefined) return undefined
    for (let index = 0; index < ports.length; index++) {
      const port = ports[index]
      if (port === undefined) continue
      const { ipv6 } = port
      if (ipv6[0] === word0 && ipv6[1] === word1 && ipv6[2] === word2) return port
    }
    return undefined
  }

  /**
   * Carries a checked frame with a hop limit above 1 to the guest it is for, or says why not. Whatever a guest may not do
   * is answered at once: nobody waits for a time-out. `isReassembled`: the packet came in fragments, and leaves so.
   */
  forward(from: GuestPort, frame: Frame, isReassembled: boolean): void {
    const { destination0, destination1, destination2, destination3 } = frame
    const to = this.find(destination0, destination1, destination2, destination3)
    if (to === undefined || to === from) {
      from.drop('no-such-guest')
      this.#icmp.answer(from, frame, 'host-unreachable')
      return
    }
    const refused = this.#refusal(from, to, frame)
    if (refused !== undefined) {
      from.drop(refused)
      if (refused !== 'gateway-lie')
        this.#icmp.answer(from, frame, refused === 'unknown-protocol' ? 'protocol-unreachable' : 'prohibited')
      return
    }
    if (isReassembled) {
      this.#sendAgain(from, to, frame)
      return
    }
    if (largestPacketBytes(frame) > to.mtu) {
      from.drop('oversized')
      this.#icmp.answer(from, frame, 'too-big', to.mtu)
      return
    }
    this.#rewrite(to, frame)
    to.send(frame.buffer, frame.end)
  }

  #refusal(from: GuestPort, to: GuestPort, frame: Frame): DropReason | undefined {
    if (!from.mayMeetGuests || !to.mayMeetGuests) return 'guest-to-guest'
    const { view } = frame.buffer
    const { transport } = frame
    switch (frame.protocol) {
      case PROTOCOL_TCP: {
        const flags = view.getUint8(transport + 13)
        // Only who opens a connection is asked; without that the rest leads nowhere.
        if ((flags & SYN_OF_SYN_ACK) !== SYN) return undefined
        return this.#mayOpen(from, frame, view.getUint16(transport + 2)) ? undefined : 'policy'
      }
      case PROTOCOL_UDP: {
        const source = view.getUint16(transport)
        const destination = view.getUint16(transport + 2)
        if (source === DHCP_SERVER_PORT && destination === DHCP_CLIENT_PORT) return 'gateway-lie'
        if (source === DHCPV6_SERVER_PORT && destination === DHCPV6_CLIENT_PORT) return 'gateway-lie'
        return this.#mayAsk(from, to, frame, source, destination) ? undefined : 'policy'
      }
      case PROTOCOL_ICMP:
      case PROTOCOL_ICMPV6:
        return this.#refusalOfIcmp(from, frame)
      default:
        return 'unknown-protocol'
    }
  }

  #refusalOfIcmp(from: GuestPort, frame: Frame): DropReason | undefined {
    const type = frame.buffer.view.getUint8(frame.transport)
    if ((frame.protocol === PROTOCOL_ICMPV6) !== frame.isIpv6) return 'unknown-protocol'
    if (frame.isIpv6) {
      if (type >= ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT) return 'gateway-lie'
      if (type === ICMPV6_ECHO_REPLY) return undefined
      return type !== ICMPV6_ECHO || this.#mayOpen(from, frame, 0) ? undefined : 'policy'
    }
    if (type === ICMP_REDIRECT) return 'gateway-lie'
    if (type === ICMP_ECHO_REPLY) return undefined
    return type !== ICMP_ECHO || this.#mayOpen(from, frame, 0) ? undefined : 'policy'
  }

  #mayOpen(from: GuestPort, frame: Frame, destinationPort: number): boolean {
    if (from.peerPolicy === undefined) return true
    return (
      from.peerPolicy.verdict(
        frame.destination0,
        frame.destination1,
        frame.destination2,
        frame.destination3,
        frame.protocol,
        destinationPort,
      ) === 'allowed'
    )
  }

  /** Datagrams: allowed by the sender's rules, or answers to what the other has asked. */
  #mayAsk(from: GuestPort, to: GuestPort, frame: Frame, source: number, destination: number): boolean {
    const { nowMs } = this.#context
    const { destination0, destination1, destination2, destination3 } = frame
    if (!this.#mayOpen(from, frame, destination))
      return this.#answers.isAnswer(
        from,
        destination0,
        destination1,
        destination2,
        destination3,
        source,
        destination,
        nowMs,
      )
    const { source0, source1, source2, source3 } = frame
    const mayAnswerAnyway =
      to.peerPolicy === undefined ||
      to.peerPolicy.verdict(source0, source1, source2, source3, frame.protocol, source) === 'allowed'
    if (!mayAnswerAnyway)
      this.#answers.asked(to, source0, source1, source2, source3, destination, source, nowMs)
    return true
  }

  /** Datagrams alone come in fragments: TCP knows its wire. */
  #sendAgain(from: GuestPort, to: GuestPort, frame: Frame): void {
    if (frame.protocol === PROTOCOL_TCP) {
      from.drop('fragment')
      return
    }
    const transport = this.#writer.begin(frame.isIpv6)
    const { target } = this.#writer
    for (let index = 0; index < DATAGRAM_HEAD_BYTES; index++)
      target.bytes[transport + index] = frame.buffer.bytes[frame.transport + index] ?? 0
    this.#writer.send(
      to,
      frame.source0,
      frame.source1,
      frame.source2,
      frame.source3,
      frame.protocol,
      DATAGRAM_HEAD_BYTES,
      frame.buffer,
      frame.transport + DATAGRAM_HEAD_BYTES,
      frame.end - frame.transport - DATAGRAM_HEAD_BYTES,
      frame.hopLimit - 1,
    )
  }

  #rewrite(to: GuestPort, frame: Frame): void {
    const { view, bytes } = frame.buffer
    if (frame.isIpv6) view.setUint8(NETWORK + 7, frame.hopLimit - 1)
    else {
      const before = view.getUint16(NETWORK + 8)
      view.setUint16(NETWORK + 8, before - 0x100)
      view.setUint16(NETWORK + 10, replacedWord(view.getUint16(NETWORK + 10), before, before - 0x100))
    }
    const { mac } = to
    const { mac: gatewayMac } = this.#gateway
    for (let index = 0; index < 6; index++) {
      bytes[DESTINATION_MAC + index] = mac[index] ?? 0
      bytes[SOURCE_MAC + index] = gatewayMac[index] ?? 0
    }
    // What one guest says of its checksums the other shall not believe: an open one stays open, the rest is looked at.
    view.setUint8(VIRTIO_FLAGS, frame.needsChecksum ? FLAG_NEEDS_CHECKSUM : 0)
  }
}
