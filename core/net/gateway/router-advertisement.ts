// The router advertisement of a guest's wire: that the gateway is the router, how large packets may be, and where names are
// looked up. RFC 4861 §4.2, §6.2; RDNSS and DNSSL of RFC 8106 §5.
// Guests of ours have their addresses from guest-init and are told of the prefix without being asked to make addresses of
// it (A=0); foreign ones make theirs (A=1). L=0 for both: other guests are reached through the gateway.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { NETWORK, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import { writeNetworkHeaders } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import { finishIcmp, ROUTER_ADVERTISEMENT } from '../icmp/icmp-layout.ts'
import type { GatewayIdentity } from './gateway-identity.ts'
import { setAllNodesDestination } from './ipv6-destination.ts'

/** How often they are sent without being asked for. */
export const ADVERTISEMENT_INTERVAL_MS = 200_000
const HEADER_BYTES = 16
const HOP_LIMIT = 255
const GUEST_HOP_LIMIT = 64
const ROUTER_LIFETIME_SECONDS = 1_800
const PREFIX_VALID_SECONDS = 86_400
const PREFIX_PREFERRED_SECONDS = 14_400
/** RFC 8106 §5.1: at least the interval; we take three times the longest. */
const NAMES_LIFETIME_SECONDS = 1_800
const OPTION_SOURCE_LINK_ADDRESS = 1
const OPTION_PREFIX = 3
const OPTION_MTU = 5
const OPTION_RDNSS = 25
const OPTION_DNSSL = 31
const FLAG_AUTONOMOUS = 0x40
/** More names than fit in one packet of the smallest MTU are left out. */
const MAX_NAMES_BYTES = 768

/** Writes an advertisement to all nodes of the wire into `target`: its bytes. `search` is of encodeDomainNames(). */
export function writeRouterAdvertisement(
  target: PinnedBuffer,
  port: GuestPort,
  gateway: GatewayIdentity,
  search: Uint8Array,
): number {
  const namesBytes = search.length > 0 && search.length <= MAX_NAMES_BYTES ? (search.length + 7) & ~7 : 0
  const messageBytes = HEADER_BYTES + 8 + 8 + 32 + 24 + (namesBytes > 0 ? 8 + namesBytes : 0)
  const { linkLocal } = gateway
  const transport = writeNetworkHeaders(
    target,
    port,
    gateway.mac,
    linkLocal[0],
    linkLocal[1],
    linkLocal[2],
    linkLocal[3],
    PROTOCOL_ICMPV6,
    messageBytes,
    HOP_LIMIT,
  )
  setAllNodesDestination(target)
  const { view, bytes } = target
  bytes.fill(0, transport, transport + messageBytes)
  view.setUint8(transport, ROUTER_ADVERTISEMENT)
  view.setUint8(transport + 4, GUEST_HOP_LIMIT)
  // M=0 and O=0: there is no DHCPv6.
  view.setUint16(transport + 6, ROUTER_LIFETIME_SECONDS)
  let at = transport + HEADER_BYTES
  view.setUint8(at, OPTION_SOURCE_LINK_ADDRESS)
  view.setUint8(at + 1, 1)
  bytes.set(gateway.mac, at + 2)
  at += 8
  view.setUint8(at, OPTION_MTU)
  view.setUint8(at + 1, 1)
  view.setUint32(at + 4, port.mtu)
  at += 8
  view.setUint8(at, OPTION_PREFIX)
  view.setUint8(at + 1, 4)
  view.setUint8(at + 2, 64)
  view.setUint8(at + 3, port.configuration === 'foreign' ? FLAG_AUTONOMOUS : 0)
  view.setUint32(at + 4, PREFIX_VALID_SECONDS)
  view.setUint32(at + 8, PREFIX_PREFERRED_SECONDS)
  view.setInt32(at + 16, gateway.prefix0)
  view.setInt32(at + 20, gateway.prefix1)
  at += 32
  view.setUint8(at, OPTION_RDNSS)
  view.setUint8(at + 1, 3)
  view.setUint32(at + 4, NAMES_LIFETIME_SECONDS)
  view.setInt32(at + 8, gateway.ipv6[0])
  view.setInt32(at + 12, gateway.ipv6[1])
  view.setInt32(at + 16, gateway.ipv6[2])
  view.setInt32(at + 20, gateway.ipv6[3])
  at += 24
  if (namesBytes > 0) {
    view.setUint8(at, OPTION_DNSSL)
    view.setUint8(at + 1, 1 + namesBytes / 8)
    view.setUint32(at + 4, NAMES_LIFETIME_SECONDS)
    bytes.set(search, at + 8)
    at += 8 + namesBytes
  }
  finishIcmp(target, NETWORK + 40, true, messageBytes)
  return at
}
