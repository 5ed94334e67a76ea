// Whether a packet comes from its guest: its own addresses, and those that a host without an address may use to get one
// (DHCP of RFC 2131 §4.1, duplicate address detection of RFC 4862 §5.4, MLD of RFC 3590). Link-local IPv6 addresses are for
// the wire alone.
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_ICMPV6, PROTOCOL_UDP } from '../frame/layout.ts'
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT } from '../gateway/dhcp.ts'
import type { GuestPort } from '../guest-port.ts'
import { MLD_REPORT, MLD2_REPORT, NEIGHBOUR_SOLICITATION, ROUTER_SOLICITATION } from '../icmp/icmp-layout.ts'

const BROADCAST = -1
const LINK_LOCAL_PREFIX = 0xfe80_0000 | 0

/**
 * True where the guest may send this packet from its source address. `isToGateway`: its destination is one of the gateway's
 * addresses. Only whole packets have exceptions.
 */
export function isSourceRight(port: GuestPort, frame: Frame, isToGateway: boolean): boolean {
  if (!frame.isIpv6) return frame.source3 === port.ipv4 || isDhcpRequest(frame)
  const { ipv6 } = port
  const { source0, source1, source2, source3 } = frame
  if (source3 === ipv6[3] && source2 === ipv6[2] && source1 === ipv6[1] && source0 === ipv6[0]) return true
  const isToGroup = frame.destination0 >>> 24 === 0xff
  // What a host says to groups of its wire (mDNS, DHCPv6) goes nowhere, but is no lie.
  if (source0 === LINK_LOCAL_PREFIX && source1 === 0 && isToGroup) return !frame.isFragment
  if (frame.protocol !== PROTOCOL_ICMPV6 || frame.isFragment) return false
  if (source0 === LINK_LOCAL_PREFIX && source1 === 0) return isToGateway
  return source0 === 0 && source1 === 0 && source2 === 0 && source3 === 0 && isOfNewcomer(frame)
}

function isDhcpRequest(frame: Frame): boolean {
  return (
    frame.source3 === 0 &&
    frame.destination3 === BROADCAST &&
    frame.protocol === PROTOCOL_UDP &&
    !frame.isFragment &&
    frame.buffer.view.getUint16(frame.transport) === DHCP_CLIENT_PORT &&
    frame.buffer.view.getUint16(frame.transport + 2) === DHCP_SERVER_PORT
  )
}

/** Messages that a host without an address sends. */
function isOfNewcomer(frame: Frame): boolean {
  if (frame.destination0 >>> 24 !== 0xff) return false
  const type = frame.buffer.view.getUint8(frame.transport)
  return (
    type === NEIGHBOUR_SOLICITATION ||
    type === ROUTER_SOLICITATION ||
    type === MLD_REPORT ||
    type === MLD2_REPORT
  )
}
