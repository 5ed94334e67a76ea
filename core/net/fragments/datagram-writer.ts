// Datagrams to a guest of any size: headers, checksum, and IP fragments where the wire's MTU demands them (RFC 791 §3.2,
// RFC 8200 §4.5). Used by all that is not TCP.
// A whole UDP datagram leaves its checksum to the guest's kernel; fragments and ICMP are summed here, since there nobody
// else can.
import { randomInt } from 'node:crypto'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { fold, internetSum, pseudoHeaderSumAt } from '../frame/checksum.ts'
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, NETWORK, PROTOCOL_UDP } from '../frame/layout.ts'
import { setPartialChecksum, writeIpv4Checksum, writeNetworkHeaders } from '../frame/write-headers.ts'
import { setIpv6Destination } from '../gateway/ipv6-destination.ts'
import type { GuestPort } from '../guest-port.ts'
import { ICMP_CHECKSUM } from '../icmp/icmp-layout.ts'

const UDP_CHECKSUM = 6
const MORE_FRAGMENTS = 0x2000
const FRAGMENT_HEADER = 44
const FRAGMENT_HEADER_BYTES = 8

export class DatagramWriter {
  /** Where headers are built. */
  readonly target: PinnedBuffer
  readonly #gatewayMac: Uint8Array
  /** RFC 6864 §4: only fragments need one. */
  #identification = randomInt(0x1_0000_0000)
  #hasDestination = false
  #destination0 = 0
  #destination1 = 0
  #destination2 = 0
  #destination3 = 0

  constructor(target: PinnedBuffer, gatewayMac: Uint8Array) {
    this.target = target
    this.#gatewayMac = gatewayMac
  }

  /** Where the caller writes the transport header, in `target`, before `send()`. */
  begin(isIpv6: boolean): number {
    this.#hasDestination = false
    return NETWORK + (isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES)
  }

  /** After `begin()`: an IPv6 datagram goes to this address and not to the guest's global one. */
  setDestination(word0: number, word1: number, word2: number, word3: number): void {
    this.#hasDestination = true
    this.#destination0 = word0
    this.#destination1 = word1
    this.#destination2 = word2
    this.#destination3 = word3
  }

  /**
   * Sends a datagram from `source` to the guest: a transport header of `headBytes` (even) that stands in `target`, and
   * `payloadBytes` of `payload`. False when the guest's device did not take all of it.
   */
  send(
    port: GuestPort,
    source0: number,
    source1: number,
    source2: number,
    source3: number,
    protocol: number,
    headBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
    hopLimit = 64,
  ): boolean {
    const { target } = this
    const bytes = headBytes + payloadBytes
    const transport = writeNetworkHeaders(
      target,
      port,
      this.#gatewayMac,
      source0,
      source1,
      source2,
      source3,
      protocol,
      bytes,
      hopLimit,
    )
    const isIpv6 = transport === NETWORK + IPV6_HEADER_BYTES
    if (isIpv6 && this.#hasDestination)
      setIpv6Destination(
        target,
        this.#destination0,
        this.#destination1,
        this.#destination2,
        this.#destination3,
      )
    const isWhole = transport - NETWORK + bytes <= port.mtu
    if (isWhole && protocol === PROTOCOL_UDP)
      setPartialChecksum(target, transport, UDP_CHECKSUM, bytes, protocol)
    else this.#sum(transport, protocol, isIpv6, headBytes, payload, payloadOffset, payloadBytes)
    if (isWhole) return port.send(target, transport + headBytes, payload, payloadOffset, payloadBytes)
    return isIpv6
      ? this.#sendIpv6Fragments(port, protocol, headBytes, payload, payloadOffset, payloadBytes)
      : this.#sendIpv4Fragments(port, headBytes, payload, payloadOffset, payloadBytes)
  }

  /** ICMP of IPv4 has no pseudo-header; a UDP sum of 0 is written as its other zero (RFC 768). */
  #sum(
    transport: number,
    protocol: number,
    isIpv6: boolean,
    headBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): void {
    const { target } = this
    const field = transport + (protocol === PROTOCOL_UDP ? UDP_CHECKSUM : ICMP_CHECKSUM)
    target.view.setUint16(field, 0)
    const hasPseudoHeader = isIpv6 || protocol === PROTOCOL_UDP
    let sum = hasPseudoHeader ? pseudoHeaderSumAt(target, protocol, headBytes + payloadBytes) : 0
    sum = internetSum(target, transport, headBytes, sum)
    if (payloadBytes > 0) sum = internetSum(payload, payloadOffset, payloadBytes, sum)
    const checksum = ~fold(sum) & 0xffff
    target.view.setUint16(field, checksum === 0 && protocol === PROTOCOL_UDP ? 0xffff : checksum)
  }

  #sendIpv4Fragments(
    port: GuestPort,
    headBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): boolean {
    const { view } = this.target
    const partBytes = (port.mtu - IPV4_HEADER_BYTES) & ~7
    const transport = NETWORK + IPV4_HEADER_BYTES
    this.#identification = (this.#identification + 1) >>> 0
    view.setUint16(NETWORK + 4, this.#identification & 0xffff)
    let sent = 0
    // The first fragment carries the transport header, which counts into the places of the others.
    for (let at = 0; at < headBytes + payloadBytes; at += partBytes) {
      const inHead = at === 0 ? headBytes : 0
      const bytes = Math.min(partBytes - inHead, payloadBytes - sent)
      const isLast = sent + bytes === payloadBytes
      view.setUint16(NETWORK + 2, IPV4_HEADER_BYTES + inHead + bytes)
      view.setUint16(NETWORK + 6, (isLast ? 0 : MORE_FRAGMENTS) | (at >>> 3))
      writeIpv4Checksum(this.target)
      if (!port.send(this.target, transport + inHead, payload, payloadOffset + sent, bytes)) return false
      sent += bytes
    }
    return true
  }

  #sendIpv6Fragments(
    port: GuestPort,
    protocol: number,
    headBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): boolean {
    const { view, bytes: memory } = this.target
    const partBytes = (port.mtu - IPV6_HEADER_BYTES - FRAGMENT_HEADER_BYTES) & ~7
    const fragment = NETWORK + IPV6_HEADER_BYTES
    const transport = fragment + FRAGMENT_HEADER_BYTES
    memory.copyWithin(transport, fragment, fragment + headBytes)
    this.#identification = (this.#identification + 1) >>> 0
    view.setUint8(NETWORK + 6, FRAGMENT_HEADER)
    view.setUint16(fragment, protocol << 8)
    view.setUint32(fragment + 4, this.#identification)
    let sent = 0
    for (let at = 0; at < headBytes + payloadBytes; at += partBytes) {
      const inHead = at === 0 ? headBytes : 0
      const bytes = Math.min(partBytes - inHead, payloadBytes - sent)
      const isLast = sent + bytes === payloadBytes
      view.setUint16(NETWORK + 4, FRAGMENT_HEADER_BYTES + inHead + bytes)
      view.setUint16(fragment + 2, at | (isLast ? 0 : 1))
      if (!port.send(this.target, transport + inHead, payload, payloadOffset + sent, bytes)) return false
      sent += bytes
    }
    return true
  }
}
