// The host's addresses and routes as its kernel has them. rtnetlink(7); linux/rtnetlink.h, linux/if_addr.h.
import { findAttribute, RouteNetlink } from './netlink-dump.ts'
import { AF_INET, AF_INET6 } from './socket.ts'

const RTM_GETADDR = 22
const RTM_GETROUTE = 26
/** struct ifaddrmsg: family, prefix length, flags, scope, index:4. */
const ADDRESS_BYTES = 8
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_BROADCAST = 4
/** struct rtmsg: family, length of destination and source, TOS, table, protocol, scope, type, flags:4. */
export const ROUTE_BYTES = 12
const ROUTE_TABLE = 4
export const ROUTE_TYPE = 7
const RTA_DST = 1
const RTA_OIF = 4
const RT_TABLE_LOCAL = 255
/** IPv4 inside of IPv6: translators have such addresses and routes. They are nowhere on the wire, and not IPv4's. */
const MAPPED = '0:0:0:0:0:ffff:'
/** A route that was made for one destination, not configured. */
const RTM_F_CLONED = 0x200

const routeTypes = [
  'unspecified',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
  'xresolve',
] as const

export type RouteType = (typeof routeTypes)[number]

export interface HostRoute {
  /** `ADDRESS/BITS` */
  readonly destination: string
  readonly type: RouteType
  /** Number of its table, the lower eight bits: 254 is the main one, 255 what the host calls its own. */
  readonly table: number
  /** Of the interface that it leads to; undefined where it leads to several, or to none. */
  readonly interfaceIndex: number | undefined
}

const ownTypes: ReadonlySet<RouteType | undefined> = new Set(['local', 'broadcast', 'anycast'] as const)

/** Whether the host takes the destinations of a route of this type for its own, and answers. */
export function isOwnType(type: number): boolean {
  return ownTypes.has(routeTypes[type])
}

/** All routes of all tables, both families. Throws SystemError. */
export function readRoutes(): readonly HostRoute[] {
  using netlink = new RouteNetlink()
  return [AF_INET, AF_INET6].flatMap((family) =>
    netlink.list(RTM_GETROUTE, routeRequest(family, 0), readRoute),
  )
}

/**
 * What the host calls its own, as addresses and ranges: each interface's addresses and broadcast addresses, up or down, and
 * all that its table of local routes has (`ip route add local 192.0.2.0/24 dev lo`, for example). Sorted, none twice. Throws
 * SystemError.
 */
export function readOwnAddresses(netlink: RouteNetlink): readonly string[] {
  const families = [AF_INET, AF_INET6]
  const ofInterfaces = families
    .flatMap((family) => netlink.list(RTM_GETADDR, addressRequest(family), readInterfaceAddresses))
    .flat()
    .map((address) => `${address}/${address.includes(':') ? 128 : 32}`)
  const ofRoutes = families
    .flatMap((family) => netlink.list(RTM_GETROUTE, routeRequest(family, RT_TABLE_LOCAL), readRoute))
    // Careful: transparent proxies have a local route for everything, in a table of their own.
    .filter((route) => route.table === RT_TABLE_LOCAL && ownTypes.has(route.type))
    .map((route) => route.destination)
  return [...new Set([...ofInterfaces, ...ofRoutes])].sort()
}

function routeRequest(family: number, table: number): Uint8Array {
  const body = new Uint8Array(ROUTE_BYTES)
  body[0] = family
  body[ROUTE_TABLE] = table
  return body
}

function addressRequest(family: number): Uint8Array {
  const body = new Uint8Array(ADDRESS_BYTES)
  body[0] = family
  return body
}

function readRoute(view: DataView, start: number, end: number): HostRoute | undefined {
  if (start + ROUTE_BYTES > end) return undefined
  const family = view.getUint8(start)
  if (family !== AF_INET && family !== AF_INET6) return undefined
  if ((view.getUint32(start + 8, true) & RTM_F_CLONED) !== 0) return undefined
  const type = routeTypes[view.getUint8(start + ROUTE_TYPE)]
  if (type === undefined) return undefined
  // A default route has no destination.
  const address =
    addressText(view, start + ROUTE_BYTES, end, RTA_DST) ?? (family === AF_INET ? '0.0.0.0' : '::')
  if (address.startsWith(MAPPED)) return undefined
  const device = findAttribute(view, start + ROUTE_BYTES, end, RTA_OIF)
  return {
    table: view.getUint8(start + ROUTE_TABLE),
    destination: `${address}/${view.getUint8(start + 1)}`,
    type,
    interfaceIndex: device?.bytes === 4 ? view.getInt32(device.at, true) : undefined,
  }
}

/** IFA_LOCAL is the interface's own; on a point-to-point link IFA_ADDRESS is the other end's, which is not. */
function readInterfaceAddresses(view: DataView, start: number, end: number): readonly string[] | undefined {
  if (start + ADDRESS_BYTES > end) return undefined
  const attributes = start + ADDRESS_BYTES
  const own = addressText(view, attributes, end, IFA_LOCAL) ?? addressText(view, attributes, end, IFA_ADDRESS)
  return [own, addressText(view, attributes, end, IFA_BROADCAST)].filter(
    (address): address is string => address?.startsWith(MAPPED) === false,
  )
}

function addressText(view: DataView, start: number, end: number, attribute: number): string | undefined {
  const place = findAttribute(view, start, end, attribute)
  if (place?.bytes === 4) {
    return Array.from({ length: 4 }, (_, index) => view.getUint8(place.at + index)).join('.')
  }
  if (place?.bytes === 16) {
    return Array.from({ length: 8 }, (_, index) => view.getUint16(place.at + index * 2).toString(16)).join(
      ':',
    )
  }
  return undefined
}
