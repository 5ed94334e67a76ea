// IPv6's neighbour discovery on a guest's wire, where the only neighbour is the gateway: it answers for its own addresses
// (to those who only look whether one is free, too) and, as a proxy, for the other guests' (RFC 4861 §7.2, §7.2.8, RFC 4862
// §5.4). Nothing is learned; what claims to be a router or somebody else is a lie.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { DropReason } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import { NETWORK, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import { writeNetworkHeaders } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import {
  finishIcmp,
  ICMP_HEADER_BYTES,
  NEIGHBOUR_ADVERTISEMENT,
  NEIGHBOUR_SOLICITATION,
  REDIRECT,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
} from '../icmp/icmp-layout.ts'
import { type GatewayIdentity, isGatewayAddress, isSame } from './gateway-identity.ts'
import { setAllNodesDestination, setIpv6Destination } from './ipv6-destination.ts'

/** Behind the ICMP header: the target address, then options. */
const TARGET = ICMP_HEADER_BYTES
const TARGET_BYTES = 16
const SOURCE_LINK_ADDRESS = 1
const TARGET_LINK_ADDRESS = 2
const LINK_OPTION_BYTES = 8
/** Only a packet that no router has passed is believed (RFC 4861 §3.1). */
const HOP_LIMIT = 255
const FLAG_ROUTER = 0x8000_0000 | 0
const FLAG_SOLICITED = 0x4000_0000
const FLAG_OVERRIDE = 0x2000_0000
const LINK_LOCAL_PREFIX = 0xfe80_0000 | 0

/** Whether a message of types 133 to 137 is well-formed and the guest's to send. Undefined when it is. */
export function neighbourFault(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
): DropReason | undefined {
  const { view } = frame.buffer
  const { transport } = frame
  const type = view.getUint8(transport)
  if (type === ROUTER_ADVERTISEMENT || type === REDIRECT) return 'gateway-lie'
  if (frame.hopLimit !== HOP_LIMIT || view.getUint8(transport + 1) !== 0) return 'malformed'
  const optionsAt = transport + ICMP_HEADER_BYTES + (type === ROUTER_SOLICITATION ? 0 : TARGET_BYTES)
  if (optionsAt > frame.end) return 'malformed'
  const fault = optionsFault(port, frame, optionsAt)
  if (fault !== undefined || type === ROUTER_SOLICITATION) return fault
  if (view.getUint8(transport + TARGET) === 0xff) return 'malformed'
  if (type === NEIGHBOUR_ADVERTISEMENT && !isGuestsOwn(port, frame, gateway)) return 'gateway-lie'
  return undefined
}

/** Options in units of eight bytes, none of them empty (RFC 4861 §4.6). A link address must be the guest's. */
function optionsFault(port: GuestPort, frame: Frame, optionsAt: number): DropReason | undefined {
  const { view, bytes } = frame.buffer
  for (let at = optionsAt; at < frame.end; ) {
    if (at + 8 > frame.end) return 'malformed'
    const optionBytes = view.getUint8(at + 1) * 8
    if (optionBytes === 0 || at + optionBytes > frame.end) return 'malformed'
    const type = view.getUint8(at)
    if (type === SOURCE_LINK_ADDRESS || type === TARGET_LINK_ADDRESS) {
      // An unspecified source has no link address to tell (RFC 4861 §4.3).
      if (type === SOURCE_LINK_ADDRESS && isUnspecified(frame)) return 'malformed'
      for (let index = 0; index < 6; index++)
        if (bytes[at + 2 + index] !== port.mac[index]) return 'gateway-lie'
    }
    at += optionBytes
  }
  return undefined
}

/** Whether the target of the message is an address that the guest may have: its own, or a link-local one. */
function isGuestsOwn(port: GuestPort, frame: Frame, gateway: GatewayIdentity): boolean {
  const { view } = frame.buffer
  const at = frame.transport + TARGET
  const word0 = view.getInt32(at)
  const word1 = view.getInt32(at + 4)
  const word2 = view.getInt32(at + 8)
  const word3 = view.getInt32(at + 12)
  if (isGatewayAddress(gateway, word0, word1, word2, word3)) return false
  return word0 === LINK_LOCAL_PREFIX || isSame(port.ipv6, word0, word1, word2, word3)
}

function isUnspecified(frame: Frame): boolean {
  return frame.source0 === 0 && frame.source1 === 0 && frame.source2 === 0 && frame.source3 === 0
}

/** Writes the answer to an honest solicitation into `target`: its bytes, or 0 where there is nothing to say. */
export function answerSolicitation(
  port: GuestPort,
  frame: Frame,
  gateway: GatewayIdentity,
  target: PinnedBuffer,
): number {
  const { view } = frame.buffer
  if (view.getUint8(frame.transport) !== NEIGHBOUR_SOLICITATION) return 0
  const at = frame.transport + TARGET
  const word0 = view.getInt32(at)
  const word1 = view.getInt32(at + 4)
  const word2 = view.getInt32(at + 8)
  const word3 = view.getInt32(at + 12)
  const isGateway = isGatewayAddress(gateway, word0, word1, word2, word3)
  if (!isGateway && !isOtherGuests(port, gateway, word0, word1, word2, word3)) return 0
  // Whoever has no address yet hears of it as everybody on the wire does, unsolicited (RFC 4861 §7.2.4).
  const isProbe = isUnspecified(frame)
  let flags = isProbe ? 0 : FLAG_SOLICITED
  // A proxy does not override (RFC 4861 §7.2.8).
  if (isGateway) flags |= FLAG_ROUTER | FLAG_OVERRIDE
  const bytes = writeAdvertisement(target, port, gateway, word0, word1, word2, word3, flags)
  if (isProbe) setAllNodesDestination(target)
  else setIpv6Destination(target, frame.source0, frame.source1, frame.source2, frame.source3)
  finishIcmp(target, NETWORK + 40, true, bytes - NETWORK - 40)
  return bytes
}

/** Writes the announcement of one of the gateway's addresses (RFC 4861 §7.2.6): its bytes. */
export function announceByAdvertisement(
  port: GuestPort,
  gateway: GatewayIdentity,
  address: readonly [number, number, number, number],
  target: PinnedBuffer,
): number {
  const flags = FLAG_ROUTER | FLAG_OVERRIDE
  const bytes = writeAdvertisement(
    target,
    port,
    gateway,
    address[0],
    address[1],
    address[2],
    address[3],
    flags,
  )
  setAllNodesDestination(target)
  finishIcmp(target, NETWORK + 40, true, bytes - NETWORK - 40)
  return bytes
}

/** An address of the guests' /64 that is not this guest's. */
function isOtherGuests(
  port: GuestPort,
  gateway: GatewayIdentity,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
): boolean {
  if (word0 !== gateway.prefix0 || word1 !== gateway.prefix1) return false
  // Guests that choose their own interface identifiers look whether they are free: reserved numbers are small.
  if (word2 !== 0) return false
  return !isSame(port.ipv6, word0, word1, word2, word3)
}

function writeAdvertisement(
  target: PinnedBuffer,
  port: GuestPort,
  gateway: GatewayIdentity,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  flags: number,
): number {
  const messageBytes = ICMP_HEADER_BYTES + TARGET_BYTES + LINK_OPTION_BYTES
  const transport = writeNetworkHeaders(
    target,
    port,
    gateway.mac,
    word0,
    word1,
    word2,
    word3,
    PROTOCOL_ICMPV6,
    messageBytes,
    HOP_LIMIT,
  )
  const { view, bytes } = target
  view.setUint8(transport, NEIGHBOUR_ADVERTISEMENT)
  view.setUint8(transport + 1, 0)
  view.setInt32(transport + 4, flags)
  view.setInt32(transport + TARGET, word0)
  view.setInt32(transport + TARGET + 4, word1)
  view.setInt32(transport + TARGET + 8, word2)
  view.setInt32(transport + TARGET + 12, word3)
  view.setUint8(transport + TARGET + TARGET_BYTES, TARGET_LINK_ADDRESS)
  view.setUint8(transport + TARGET + TARGET_BYTES + 1, 1)
  bytes.set(gateway.mac, transport + TARGET + TARGET_BYTES + 2)
  return transport + messageBytes
}
