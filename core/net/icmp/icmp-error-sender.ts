// Sends ICMP errors to guests: about the frame in hand, about a packet of an earlier turn, and on behalf of a router out
// there that the host's kernel heard of. Rules of RFC 1122 §3.2.2, RFC 1812 §4.3.2 and RFC 4443 §2.4: never about ICMP errors,
// about fragments but the first, or about what was sent to many; as much of the packet as fits; not too often.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import { TokenBucket } from '../flow/rate-limit.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import {
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  NETWORK,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_HEADER_BYTES,
} from '../frame/layout.ts'
import { completeChecksum } from '../frame/partial-checksum.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { icmpErrorCodes } from './errno-errors.ts'
import type { IcmpErrorKind, IcmpErrors, QuotedPacket } from './icmp-errors.ts'
import { ICMP_HEADER_BYTES, isIcmpError } from './icmp-layout.ts'
import { isIpv6Packet, QUOTED_TRANSPORT_BYTES, writeQuotedHead } from './quoted-head.ts'

/** The whole error, IP header counted (RFC 1812 §4.3.2.3, RFC 4443 §3.1: the smallest MTU). */
const LONGEST_IPV4_ERROR = 576
const LONGEST_IPV6_ERROR = 1_280
const LINK_LOCAL_PREFIX = 0xfe80_0000 | 0
/** Of a payload, behind the error's IP and ICMP headers and the quoted IP and transport headers. */
const LONGEST_IPV4_QUOTE =
  LONGEST_IPV4_ERROR - 2 * IPV4_HEADER_BYTES - ICMP_HEADER_BYTES - QUOTED_TRANSPORT_BYTES
const LONGEST_IPV6_QUOTE =
  LONGEST_IPV6_ERROR - 2 * IPV6_HEADER_BYTES - ICMP_HEADER_BYTES - QUOTED_TRANSPORT_BYTES

/** Bytes of a packet behind its transport header, where an error queue or another error has them (ErrorQueue). */
export interface QuotedPayload {
  readonly payload: PinnedBuffer
  readonly payloadOffset: number
  readonly payloadBytes: number
}

export class IcmpErrorSender implements IcmpErrors {
  readonly #context: PacketContext
  readonly #gateway: GatewayIdentity
  readonly #perSecond: number
  readonly #writer: DatagramWriter
  readonly #buckets = new Map<GuestPort, TokenBucket>()

  constructor(context: PacketContext, gateway: GatewayIdentity, perSecond: number) {
    this.#context = context
    this.#gateway = gateway
    this.#perSecond = perSecond
    this.#writer = new DatagramWriter(context.transmit, gateway.mac)
  }

  answer(port: GuestPort, frame: Frame, kind: IcmpErrorKind, mtu = 0): void {
    if (!mayAnswer(frame) || !this.#mayTell(port)) return
    endChecksum(frame)
    const { isIpv6, buffer } = frame
    const { type, code } = isIpv6 ? icmpErrorCodes[kind].ipv6 : icmpErrorCodes[kind].ipv4
    const transport = this.#begin(isIpv6, type, code, mtu)
    const longestBytes =
      (isIpv6 ? LONGEST_IPV6_ERROR : LONGEST_IPV4_ERROR) - (transport - NETWORK) - ICMP_HEADER_BYTES
    const quotedBytes = Math.min(longestBytes, frame.end - NETWORK)
    // A guest that asked from its link-local address is answered by its link-local neighbour.
    const isLinkLocal = isIpv6 && frame.source0 === LINK_LOCAL_PREFIX
    if (isLinkLocal) this.#writer.setDestination(frame.source0, frame.source1, frame.source2, frame.source3)
    const { ipv6, linkLocal, ipv4 } = this.#gateway
    const from = isLinkLocal ? linkLocal : ipv6
    this.#writer.send(
      port,
      isIpv6 ? from[0] : 0,
      isIpv6 ? from[1] : 0,
      isIpv6 ? from[2] : MAPPED_PREFIX,
      isIpv6 ? from[3] : ipv4,
      isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP,
      ICMP_HEADER_BYTES,
      buffer,
      NETWORK,
      quotedBytes,
    )
  }

  about(port: GuestPort, packet: QuotedPacket, kind: IcmpErrorKind, mtu = 0): void {
    const { type, code } = isIpv6Packet(packet) ? icmpErrorCodes[kind].ipv6 : icmpErrorCodes[kind].ipv4
    this.fromGateway(port, packet, type, code, mtu)
  }

  /** As `fromRouter()`, from the gateway. */
  fromGateway(
    port: GuestPort,
    packet: QuotedPacket,
    type: number,
    code: number,
    info: number,
    payload?: QuotedPayload,
  ): void {
    const { ipv6, ipv4 } = this.#gateway
    if (isIpv6Packet(packet))
      this.fromRouter(port, packet, type, code, info, ipv6[0], ipv6[1], ipv6[2], ipv6[3], payload)
    else this.fromRouter(port, packet, type, code, info, 0, 0, MAPPED_PREFIX, ipv4, payload)
  }

  /**
   * As `about()`, with a type and code of the packet's family, from `source`: what a router or the other end said, handed
   * on. `info` is the MTU where there is one; `payload` what is known of the packet behind its transport header.
   */
  fromRouter(
    port: GuestPort,
    packet: QuotedPacket,
    type: number,
    code: number,
    info: number,
    source0: number,
    source1: number,
    source2: number,
    source3: number,
    payload?: QuotedPayload,
  ): void {
    if (!this.#mayTell(port)) return
    const isIpv6 = isIpv6Packet(packet)
    const transport = this.#begin(isIpv6, type, code, info)
    const longestBytes = isIpv6 ? LONGEST_IPV6_QUOTE : LONGEST_IPV4_QUOTE
    const payloadBytes = payload === undefined ? 0 : Math.min(payload.payloadBytes, longestBytes)
    const headBytes = writeQuotedHead(
      this.#writer.target,
      port,
      packet,
      transport + ICMP_HEADER_BYTES,
      isIpv6,
      payloadBytes,
    )
    this.#writer.send(
      port,
      source0,
      source1,
      source2,
      source3,
      isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP,
      ICMP_HEADER_BYTES + headBytes,
      payload?.payload ?? this.#writer.target,
      payload?.payloadOffset ?? 0,
      payloadBytes,
    )
  }

  portGone(port: GuestPort): void {
    this.#buckets.delete(port)
  }

  #mayTell(port: GuestPort): boolean {
    let bucket = this.#buckets.get(port)
    if (bucket === undefined) {
      bucket = new TokenBucket(this.#perSecond)
      this.#buckets.set(port, bucket)
    }
    return bucket.take(this.#context.nowMs)
  }

  /** Writes type, code, and the four bytes behind the checksum, which are 0 or an MTU (RFC 1191 §4, RFC 4443 §3.2). */
  #begin(isIpv6: boolean, type: number, code: number, info: number): number {
    const transport = this.#writer.begin(isIpv6)
    const { view } = this.#writer.target
    view.setUint8(transport, type)
    view.setUint8(transport + 1, code)
    view.setUint16(transport + 2, 0)
    view.setUint32(transport + 4, isIpv6 ? info : info & 0xffff)
    return transport
  }
}

/** Whether anybody is told about this frame. */
function mayAnswer(frame: Frame): boolean {
  if (frame.isFragment && frame.fragmentOffsetBytes > 0) return false
  const { isIpv6, protocol, source0, source3, destination0, destination3 } = frame
  if ((protocol === PROTOCOL_ICMP && !isIpv6) || (protocol === PROTOCOL_ICMPV6 && isIpv6)) {
    if (frame.end - frame.transport < 1) return false
    if (isIcmpError(isIpv6, frame.buffer.view.getUint8(frame.transport))) return false
  }
  // To or from many, or from nobody: multicast, the class above it, broadcast, unspecified.
  if (isIpv6) {
    if (destination0 >>> 24 === 0xff || source0 >>> 24 === 0xff) return false
    return source0 !== 0 || frame.source1 !== 0 || frame.source2 !== 0 || source3 !== 0
  }
  return destination3 >>> 28 < 14 && source3 !== 0 && source3 >>> 28 < 14
}

/** The quoted packet is the guest's as it would have gone out. Errors are few; a frame that is answered by one goes nowhere. */
function endChecksum(frame: Frame): void {
  if (!frame.needsChecksum) return
  const { view } = frame.buffer
  const start = view.getUint16(VIRTIO_CHECKSUM_START, true)
  const offset = view.getUint16(VIRTIO_CHECKSUM_OFFSET, true)
  completeChecksum(frame.buffer, VIRTIO_HEADER_BYTES, frame.end - VIRTIO_HEADER_BYTES, start, offset)
  frame.needsChecksum = false
}
