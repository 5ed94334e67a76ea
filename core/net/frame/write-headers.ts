// Building frames to a guest: virtio-net header, Ethernet and IP in front of a transport header that the caller writes.
// Checksums are left to whoever needs them: the frame says NEEDS_CSUM and carries the pseudo-header's sum (virtio 1.2
// §5.1.6.2), so no payload byte is ever summed here.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import type { GuestPort } from '../guest-port.ts'
import { fold, internetSum, pseudoHeaderSumAt } from './checksum.ts'
import {
  DESTINATION_MAC,
  ETHER_IPV4,
  ETHER_IPV6,
  ETHER_TYPE,
  FLAG_NEEDS_CHECKSUM,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  NETWORK,
  SOURCE_MAC,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_GSO_SIZE,
  VIRTIO_GSO_TYPE,
  VIRTIO_HEADER_BYTES,
  VIRTIO_HEADER_LENGTH,
} from './layout.ts'

const DEFAULT_HOP_LIMIT = 64
/** Flags and fragment offset of IPv4: don't fragment. Such packets need no identification (RFC 6864 §4.1). */
const DO_NOT_FRAGMENT = 0x4000

/** Writes an empty virtio-net header and an Ethernet header from the gateway to the guest. */
export function writeEthernetHeader(
  target: PinnedBuffer,
  port: GuestPort,
  gatewayMac: Uint8Array,
  etherType: number,
): void {
  const { view, bytes } = target
  view.setUint32(0, 0)
  view.setUint32(4, 0)
  view.setUint16(8, 0)
  const { mac } = port
  for (let index = 0; index < 6; index++) {
    bytes[DESTINATION_MAC + index] = mac[index] ?? 0
    bytes[SOURCE_MAC + index] = gatewayMac[index] ?? 0
  }
  view.setUint16(ETHER_TYPE, etherType)
}

/**
 * Writes everything in front of the transport header, for a packet of `transportBytes` (its header and payload) from the
 * remote address `source` to the guest's address of that family. The virtio-net header says: no offloads. Returns where
 * the transport header begins: 44 for IPv4, 64 for IPv6.
 */
export function writeNetworkHeaders(
  target: PinnedBuffer,
  port: GuestPort,
  gatewayMac: Uint8Array,
  source0: number,
  source1: number,
  source2: number,
  source3: number,
  protocol: number,
  transportBytes: number,
  hopLimit = DEFAULT_HOP_LIMIT,
  trafficClass = 0,
): number {
  const { view } = target
  if (source0 === 0 && source1 === 0 && source2 === MAPPED_PREFIX) {
    writeEthernetHeader(target, port, gatewayMac, ETHER_IPV4)
    view.setUint16(NETWORK, 0x4500 | trafficClass)
    view.setUint16(NETWORK + 2, IPV4_HEADER_BYTES + transportBytes)
    view.setUint16(NETWORK + 4, 0)
    view.setUint16(NETWORK + 6, DO_NOT_FRAGMENT)
    view.setUint16(NETWORK + 8, (hopLimit << 8) | protocol)
    view.setUint16(NETWORK + 10, 0)
    view.setInt32(NETWORK + 12, source3)
    view.setInt32(NETWORK + 16, port.ipv4)
    writeIpv4Checksum(target)
    return NETWORK + IPV4_HEADER_BYTES
  }
  writeEthernetHeader(target, port, gatewayMac, ETHER_IPV6)
  view.setInt32(NETWORK, 0x6000_0000 | (trafficClass << 20))
  view.setUint16(NETWORK + 4, transportBytes)
  view.setUint16(NETWORK + 6, (protocol << 8) | hopLimit)
  view.setInt32(NETWORK + 8, source0)
  view.setInt32(NETWORK + 12, source1)
  view.setInt32(NETWORK + 16, source2)
  view.setInt32(NETWORK + 20, source3)
  const { ipv6 } = port
  view.setInt32(NETWORK + 24, ipv6[0])
  view.setInt32(NETWORK + 28, ipv6[1])
  view.setInt32(NETWORK + 32, ipv6[2])
  view.setInt32(NETWORK + 36, ipv6[3])
  return NETWORK + IPV6_HEADER_BYTES
}

/** Fills in the header checksum of an IPv4 header without options, after something in it was changed. */
export function writeIpv4Checksum(target: PinnedBuffer): void {
  const { view } = target
  view.setUint16(NETWORK + 10, 0)
  view.setUint16(NETWORK + 10, ~fold(internetSum(target, NETWORK, IPV4_HEADER_BYTES)) & 0xffff)
}

/**
 * Leaves the transport checksum to the receiver: `checksumOffset` is that of the field in the transport header (TCP 16,
 * UDP 6, ICMPv6 2), `transportBytes` the length of header and payload. The addresses must stand in the IP header by now.
 */
export function setPartialChecksum(
  target: PinnedBuffer,
  transport: number,
  checksumOffset: number,
  transportBytes: number,
  protocol: number,
): void {
  const { view } = target
  view.setUint8(VIRTIO_FLAGS, FLAG_NEEDS_CHECKSUM)
  view.setUint16(VIRTIO_CHECKSUM_START, transport - VIRTIO_HEADER_BYTES, true)
  view.setUint16(VIRTIO_CHECKSUM_OFFSET, checksumOffset, true)
  view.setUint16(transport + checksumOffset, fold(pseudoHeaderSumAt(target, protocol, transportBytes)))
}

/**
 * Lets the receiver cut the frame into segments of `segmentBytes` of payload (virtio 1.2 §5.1.6.2). `headerBytes` is all
 * in front of the payload, the virtio-net header counted too. Goes with `setPartialChecksum()`.
 */
export function setSegmentation(
  target: PinnedBuffer,
  gsoType: number,
  headerBytes: number,
  segmentBytes: number,
): void {
  const { view } = target
  view.setUint8(VIRTIO_GSO_TYPE, gsoType)
  view.setUint16(VIRTIO_HEADER_LENGTH, headerBytes - VIRTIO_HEADER_BYTES, true)
  view.setUint16(VIRTIO_GSO_SIZE, segmentBytes, true)
}
