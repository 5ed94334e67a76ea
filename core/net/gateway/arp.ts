// ARP on a guest's wire, where the only neighbour is the gateway. It answers for itself and, to guests that believe they
// share a network with others, for every other address of the subnet: such packets are routed. Nothing is learned: a guest's
// MAC and address are configuration, so a claim to another's address is a lie. RFC 826, RFC 1027 (proxy), RFC 5227 (probes).
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import { ETHER_ARP, NETWORK, SOURCE_MAC } from '../frame/layout.ts'
import { writeEthernetHeader } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import { type GatewayIdentity, subnetMask } from './gateway-identity.ts'

/** The packet of Ethernet and IPv4, from NETWORK on. */
const HARDWARE_TYPE = 0
const PROTOCOL_TYPE = 2
const HARDWARE_BYTES = 4
const PROTOCOL_BYTES = 5
const OPERATION = 6
const SENDER_MAC = 8
const SENDER_ADDRESS = 14
const TARGET_MAC = 18
const TARGET_ADDRESS = 24
export const ARP_PACKET_BYTES = 28
const ETHERNET = 1
const IPV4 = 0x0800
const REQUEST = 1
const REPLY = 2

/** Whether an ARP frame says nothing that a guest has no business to say. Undefined when it is honest. */
export function arpFault(port: GuestPort, frame: Frame): DropReason | undefined {
  const { view, bytes } = frame.buffer
  if (frame.lengthBytes < NETWORK + ARP_PACKET_BYTES) return 'malformed'
  if (
    view.getUint16(NETWORK + HARDWARE_TYPE) !== ETHERNET ||
    view.getUint16(NETWORK + PROTOCOL_TYPE) !== IPV4
  )
    return 'malformed'
  if (view.getUint8(NETWORK + HARDWARE_BYTES) !== 6 || view.getUint8(NETWORK + PROTOCOL_BYTES) !== 4)
    return 'malformed'
  const operation = view.getUint16(NETWORK + OPERATION)
  if (operation !== REQUEST && operation !== REPLY) return 'malformed'
  for (let index = 0; index < 6; index++) {
    if (bytes[SOURCE_MAC + index] !== port.mac[index]) return 'spoofed-source'
    if (bytes[NETWORK + SENDER_MAC + index] !== port.mac[index]) return 'gateway-lie'
  }
  const sender = view.getInt32(NETWORK + SENDER_ADDRESS)
  // A probe asks with no address of its own (RFC 5227 §2.1.1); a reply has one.
  if (sender === 0 && operation === REQUEST) return undefined
  return sender === port.ipv4 ? undefined : 'gateway-lie'
}

/**
 * Writes the answer to an honest ARP frame into `target`: its bytes, the virtio-net header counted, or 0 where there is
 * nothing to say.
 */
export function answerArp(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  target: PinnedBuffer,
): number {
  const { view } = frame.buffer
  if (view.getUint16(NETWORK + OPERATION) !== REQUEST) return 0
  const asked = view.getInt32(NETWORK + TARGET_ADDRESS)
  if (!answersFor(asked, port, gateway)) return 0
  writeArp(target, port, gateway, REPLY, asked, view.getInt32(NETWORK + SENDER_ADDRESS))
  return NETWORK + ARP_PACKET_BYTES
}

/** Writes the announcement of the gateway's address (RFC 5227 §2.3): its bytes. */
export function announceByArp(port: GuestPort, gateway: GatewayIdentity, target: PinnedBuffer): number {
  writeArp(target, port, gateway, REQUEST, gateway.ipv4, gateway.ipv4)
  const { bytes } = target
  bytes.fill(0, NETWORK + TARGET_MAC, NETWORK + TARGET_MAC + 6)
  return NETWORK + ARP_PACKET_BYTES
}

/** Every address of the subnet but the guest's own, and neither its first nor its last, which are no host's. */
function answersFor(asked: number, port: GuestPort, gateway: GatewayIdentity): boolean {
  if (asked === port.ipv4) return false
  if (asked === gateway.ipv4) return true
  const mask = subnetMask(gateway.ipv4PrefixBits)
  if ((asked & mask) !== gateway.ipv4Network) return false
  const host = asked & ~mask
  return host !== 0 && host !== ~mask
}

function writeArp(
  target: PinnedBuffer,
  port: GuestPort,
  gateway: GatewayIdentity,
  operation: number,
  senderAddress: number,
  targetAddress: number,
): void {
  const { view, bytes } = target
  writeEthernetHeader(target, port, gateway.mac, ETHER_ARP)
  view.setUint16(NETWORK + HARDWARE_TYPE, ETHERNET)
  view.setUint16(NETWORK + PROTOCOL_TYPE, IPV4)
  view.setUint8(NETWORK + HARDWARE_BYTES, 6)
  view.setUint8(NETWORK + PROTOCOL_BYTES, 4)
  view.setUint16(NETWORK + OPERATION, operation)
  bytes.set(gateway.mac, NETWORK + SENDER_MAC)
  view.setInt32(NETWORK + SENDER_ADDRESS, senderAddress)
  bytes.set(port.mac, NETWORK + TARGET_MAC)
  view.setInt32(NETWORK + TARGET_ADDRESS, targetAddress)
}
