// Whether the guests' subnets are free on this host. Nothing of ours is in the host's routing table, so every route into a
// subnet of guests is somebody else's network: guests could not reach it, and it might be meant by who wrote the address.
import type { HostRoute } from '../../sys/route-table.ts'
import type { NetworkSettings } from '../settings.ts'
import { type AddressInterval, doOverlap, parseRange } from './address-range.ts'

export interface SubnetConflict {
  /** Of the settings. */
  readonly subnet: string
  readonly route: HostRoute
  /** `inside`: the route is part of the subnet or all of it; `around`: the subnet is part of a larger network. */
  readonly kind: 'inside' | 'around'
}

/** Routes that lead nowhere are no network, whatever they cover. */
const LEADS_SOMEWHERE: ReadonlySet<string> = new Set(['unicast', 'local', 'broadcast', 'anycast'])

/** The host's routes that overlap with the guests' subnets; default routes cover everything and are none. */
export function findConflicts(
  routes: readonly HostRoute[],
  settings: Pick<NetworkSettings, 'ipv4Subnet' | 'ipv6Subnet'>,
): readonly SubnetConflict[] {
  return [settings.ipv4Subnet, settings.ipv6Subnet].flatMap((subnet) => {
    const [own] = parseRange(subnet)
    if (own === undefined) return []
    return routes
      .filter((route) => LEADS_SOMEWHERE.has(route.type) && !route.destination.endsWith('/0'))
      .filter((route) => parseRange(route.destination).some((interval) => doOverlap(interval, own)))
      .map((route): SubnetConflict => ({ subnet, route, kind: isInside(route, own) ? 'inside' : 'around' }))
  })
}

function isInside(route: HostRoute, own: AddressInterval): boolean {
  return parseRange(route.destination).every(({ first, last }) => first >= own.first && last <= own.last)
}
