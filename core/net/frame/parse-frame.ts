// Reads a frame's headers into the reused `Frame` and refuses what contradicts itself, before anybody else looks at it:
// every length that a header claims is compared with what was received, and a virtio-net header that lies ends here.
// IPv4: RFC 791 §3.1, RFC 1122 §3.2.1. IPv6: RFC 8200 §3–4, RFC 5095 (routing headers), RFC 6946 (atomic fragments).
import { isMappedWords } from '../../sys/socket-address.ts'
import { MAPPED_PREFIX } from '../address.ts'
import { fold, internetSum } from './checksum.ts'
import type { DropReason } from './drop-reason.ts'
import type { Frame } from './frame.ts'
import {
  ETHER_ARP,
  ETHER_IPV4,
  ETHER_IPV6,
  ETHER_TYPE,
  FLAG_DATA_VALID,
  FLAG_NEEDS_CHECKSUM,
  GSO_ECN,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  GSO_UDP_L4,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  NETWORK,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  TCP_HEADER_BYTES,
  UDP_HEADER_BYTES,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_GSO_SIZE,
  VIRTIO_GSO_TYPE,
  VIRTIO_HEADER_BYTES,
  VIRTIO_HEADER_LENGTH,
} from './layout.ts'

const ARP_BYTES = 28
const ICMP_HEADER_BYTES = 8
const TCP_CHECKSUM = 16
const UDP_CHECKSUM = 6

const OPTIONS_END = 0
const NO_OPERATION = 1
const LOOSE_SOURCE_ROUTE = 131
const STRICT_SOURCE_ROUTE = 137

const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const DESTINATION_OPTIONS = 60
/** More are an attack on whoever walks them (RFC 9098 §7). */
const MAX_EXTENSION_HEADERS = 8

/**
 * Fills `frame` from the `lengthBytes` in its buffer. Returns why the frame is to be dropped, or undefined. Of an ARP frame
 * only `etherType`, `transport` (the ARP packet) and `end` are meant. Of a fragment `transport` is its part of the payload.
 */
export function parseFrame(frame: Frame, lengthBytes: number): DropReason | undefined {
  const { view } = frame.buffer
  frame.lengthBytes = lengthBytes
  frame.isIpv6 = false
  frame.protocol = 0
  frame.isFragment = false
  frame.hasMoreFragments = false
  frame.fragmentOffsetBytes = 0
  if (lengthBytes < NETWORK || lengthBytes > frame.buffer.sizeBytes) return 'malformed'
  const flags = view.getUint8(VIRTIO_FLAGS)
  frame.needsChecksum = (flags & FLAG_NEEDS_CHECKSUM) !== 0
  frame.isChecksumValid = (flags & FLAG_DATA_VALID) !== 0
  frame.gsoType = view.getUint8(VIRTIO_GSO_TYPE) & ~GSO_ECN
  frame.gsoSizeBytes = frame.gsoType === GSO_NONE ? 0 : view.getUint16(VIRTIO_GSO_SIZE, true)
  frame.etherType = view.getUint16(ETHER_TYPE)
  frame.transport = NETWORK
  frame.end = lengthBytes
  let dropped: DropReason | undefined
  if (frame.etherType === ETHER_IPV4) dropped = parseIpv4(frame, lengthBytes)
  else if (frame.etherType === ETHER_IPV6) dropped = parseIpv6(frame, lengthBytes)
  else if (frame.etherType === ETHER_ARP) {
    if (lengthBytes < NETWORK + ARP_BYTES) return 'malformed'
  } else return 'unknown-ether-type'
  if (dropped !== undefined) return dropped
  if ((frame.needsChecksum || frame.gsoType !== GSO_NONE) && !isOffloadHonest(frame)) return 'bad-offload'
  return undefined
}

function parseIpv4(frame: Frame, lengthBytes: number): DropReason | undefined {
  const { view } = frame.buffer
  if (lengthBytes < NETWORK + IPV4_HEADER_BYTES) return 'malformed'
  const first = view.getUint8(NETWORK)
  const headerBytes = (first & 15) * 4
  const totalBytes = view.getUint16(NETWORK + 2)
  if (first >>> 4 !== 4 || headerBytes < IPV4_HEADER_BYTES) return 'malformed'
  if (totalBytes < headerBytes || NETWORK + totalBytes > lengthBytes) return 'malformed'
  if (fold(internetSum(frame.buffer, NETWORK, headerBytes)) !== 0xffff) return 'bad-checksum'
  if (headerBytes > IPV4_HEADER_BYTES && !areOptionsHarmless(frame, NETWORK + headerBytes)) return 'malformed'
  const fragment = view.getUint16(NETWORK + 6)
  frame.trafficClass = view.getUint8(NETWORK + 1)
  frame.hopLimit = view.getUint8(NETWORK + 8)
  frame.protocol = view.getUint8(NETWORK + 9)
  frame.transport = NETWORK + headerBytes
  frame.end = NETWORK + totalBytes
  frame.source0 = 0
  frame.source1 = 0
  frame.source2 = MAPPED_PREFIX
  frame.source3 = view.getInt32(NETWORK + 12)
  frame.destination0 = 0
  frame.destination1 = 0
  frame.destination2 = MAPPED_PREFIX
  frame.destination3 = view.getInt32(NETWORK + 16)
  frame.hasMoreFragments = (fragment & 0x2000) !== 0
  frame.fragmentOffsetBytes = (fragment & 0x1fff) * 8
  frame.isFragment = frame.hasMoreFragments || frame.fragmentOffsetBytes > 0
  frame.fragmentId = view.getUint16(NETWORK + 4)
  return frame.isFragment || hasTransportHeader(frame) ? undefined : 'malformed'
}

/** Options that fill their space, and none that would have us route as the sender likes (RFC 7126 §4.3, §4.4). */
function areOptionsHarmless(frame: Frame, end: number): boolean {
  const { view } = frame.buffer
  for (let at = NETWORK + IPV4_HEADER_BYTES; at < end; ) {
    const type = view.getUint8(at)
    if (type === OPTIONS_END) return true
    if (type === NO_OPERATION) {
      at++
      continue
    }
    if (type === LOOSE_SOURCE_ROUTE || type === STRICT_SOURCE_ROUTE || at + 1 >= end) return false
    const optionBytes = view.getUint8(at + 1)
    if (optionBytes < 2 || at + optionBytes > end) return false
    at += optionBytes
  }
  return true
}

function parseIpv6(frame: Frame, lengthBytes: number): DropReason | undefined {
  const { view } = frame.buffer
  if (lengthBytes < NETWORK + IPV6_HEADER_BYTES) return 'malformed'
  const first = view.getUint32(NETWORK)
  frame.end = NETWORK + IPV6_HEADER_BYTES + view.getUint16(NETWORK + 4)
  if (first >>> 28 !== 6 || frame.end > lengthBytes) return 'malformed'
  frame.isIpv6 = true
  frame.trafficClass = (first >>> 20) & 0xff
  frame.hopLimit = view.getUint8(NETWORK + 7)
  frame.source0 = view.getInt32(NETWORK + 8)
  frame.source1 = view.getInt32(NETWORK + 12)
  frame.source2 = view.getInt32(NETWORK + 16)
  frame.source3 = view.getInt32(NETWORK + 20)
  frame.destination0 = view.getInt32(NETWORK + 24)
  frame.destination1 = view.getInt32(NETWORK + 28)
  frame.destination2 = view.getInt32(NETWORK + 32)
  frame.destination3 = view.getInt32(NETWORK + 36)
  // Careful: these words mean IPv4 everywhere behind this line. On the wire nobody has such an address (RFC 4291 §2.5.5.2).
  if (isMappedWords(frame.destination0, frame.destination1, frame.destination2)) return 'closed-range'
  const dropped = skipExtensionHeaders(frame, view.getUint8(NETWORK + 6))
  if (dropped !== undefined) return dropped
  return frame.isFragment || hasTransportHeader(frame) ? undefined : 'malformed'
}

/** Finds the last header. Stops at a fragment: what follows it is known when the packet is whole again. */
function skipExtensionHeaders(frame: Frame, firstHeader: number): DropReason | undefined {
  const { view } = frame.buffer
  let next = firstHeader
  let at = NETWORK + IPV6_HEADER_BYTES
  for (let count = 0; isExtensionHeader(next); count++) {
    if (count === MAX_EXTENSION_HEADERS || at + 8 > frame.end) return 'malformed'
    if (next === HOP_BY_HOP && count > 0) return 'malformed'
    const following = view.getUint8(at)
    if (next === FRAGMENT) {
      const field = view.getUint16(at + 2)
      frame.hasMoreFragments = (field & 1) !== 0
      frame.fragmentOffsetBytes = field & 0xfff8
      frame.fragmentId = view.getInt32(at + 4)
      frame.isFragment = frame.hasMoreFragments || frame.fragmentOffsetBytes > 0
      at += 8
      next = following
      if (frame.isFragment) break
      continue
    }
    // A route that is not at its end asks us to forward along it: no.
    if (next === ROUTING && view.getUint8(at + 3) !== 0) return 'malformed'
    at += 8 + view.getUint8(at + 1) * 8
    if (at > frame.end) return 'malformed'
    next = following
  }
  frame.protocol = next
  frame.transport = at
  return undefined
}

function isExtensionHeader(header: number): boolean {
  return header === HOP_BY_HOP || header === ROUTING || header === FRAGMENT || header === DESTINATION_OPTIONS
}

/** The shortest header of each protocol that is carried: nobody reads past a short packet. */
function hasTransportHeader(frame: Frame): boolean {
  const bytes = frame.end - frame.transport
  switch (frame.protocol) {
    case PROTOCOL_TCP: {
      if (bytes < TCP_HEADER_BYTES) return false
      const headerBytes = (frame.buffer.view.getUint8(frame.transport + 12) >>> 4) * 4
      return headerBytes >= TCP_HEADER_BYTES && headerBytes <= bytes
    }
    case PROTOCOL_UDP: {
      if (bytes < UDP_HEADER_BYTES) return false
      const claimedBytes = frame.buffer.view.getUint16(frame.transport + 4)
      return claimedBytes >= UDP_HEADER_BYTES && claimedBytes <= bytes
    }
    case PROTOCOL_ICMP:
    case PROTOCOL_ICMPV6:
      return bytes >= ICMP_HEADER_BYTES
    default:
      return true
  }
}

/**
 * What the virtio-net header says about checksum and segments must fit the packet: the kernel of the guest that gets the
 * frame through the switch believes it.
 */
function isOffloadHonest(frame: Frame): boolean {
  const { view } = frame.buffer
  if (frame.isFragment || frame.etherType === ETHER_ARP) return false
  if (frame.needsChecksum) {
    const start = view.getUint16(VIRTIO_CHECKSUM_START, true) + VIRTIO_HEADER_BYTES
    const offset = view.getUint16(VIRTIO_CHECKSUM_OFFSET, true)
    if (start !== frame.transport) return false
    if (frame.protocol === PROTOCOL_TCP) {
      if (offset !== TCP_CHECKSUM) return false
    } else if (frame.protocol !== PROTOCOL_UDP || offset !== UDP_CHECKSUM) return false
  }
  if (frame.gsoType === GSO_NONE) return true
  // Of the packet: padding behind it is cut off.
  if (frame.gsoSizeBytes === 0 || frame.gsoSizeBytes > frame.end) return false
  if (view.getUint16(VIRTIO_HEADER_LENGTH, true) > frame.end - VIRTIO_HEADER_BYTES) return false
  switch (frame.gsoType) {
    case GSO_TCPV4:
      return frame.protocol === PROTOCOL_TCP && !frame.isIpv6
    case GSO_TCPV6:
      return frame.protocol === PROTOCOL_TCP && frame.isIpv6
    case GSO_UDP_L4:
      return frame.protocol === PROTOCOL_UDP
    default:
      return false
  }
}
