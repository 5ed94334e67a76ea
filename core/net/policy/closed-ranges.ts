// Where no guest gets, whatever its rules say: the host itself and what only the host should be able to talk to. A guest's
// flow leaves from a socket of the host's, so without this list it would come from "localhost" or from the host's own
// address, past every firewall that trusts these. No rule opens a closed range: what a guest shall reach of the host is
// given to it by name (a service at the gateway, a published port of another guest), never by address.

import { parseAddress } from '../address.ts'
import type { NetworkSettings } from '../settings.ts'
import { type AddressInterval, addressNumber, isIpv4Interval, parseRange } from './address-range.ts'

/** Closed on every host, and why. */
export const alwaysClosed: readonly (readonly [range: string, reason: string])[] = [
  ['0.0.0.0/8', 'this host on this network: Linux connects 0.0.0.0 to itself (RFC 1122 §3.2.1.3)'],
  ['127.0.0.0/8', 'loopback (RFC 1122 §3.2.1.3)'],
  ['169.254.0.0/16', 'link-local, and the metadata services of clouds (RFC 3927)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)'],
  ['240.0.0.0/4', 'reserved, and the broadcast address (RFC 1112 §4, RFC 919)'],
  ['::/16', 'unspecified, loopback, and IPv4 in its old dresses (RFC 4291 §2.5, RFC 2765)'],
  ['64:ff9b:1::/48', 'a translator’s own prefix, which may hide any IPv4 address (RFC 8215)'],
  ['2001::/32', 'Teredo: IPv4 addresses and ports inside (RFC 4380)'],
  ['fe80::/10', 'link-local (RFC 4291 §2.5.6)'],
  ['fec0::/10', 'site-local, given up (RFC 3879)'],
  ['ff00::/8', 'multicast (RFC 4291 §2.7)'],
]

/** Where the 32 bits of IPv4 begin in the prefixes that lead to IPv4: NAT64 (RFC 6052 §2.1) and 6to4 (RFC 3056 §2). */
const embeddings: readonly { readonly prefix: bigint; readonly shift: bigint }[] = [
  { prefix: addressNumber(parseAddress('64:ff9b::')), shift: 0n },
  { prefix: addressNumber(parseAddress('2002::')), shift: 80n },
]

/**
 * All closed intervals of this host, in no order, overlapping: the list above, the guests' own subnets, what the host
 * calls its own (`hostAddresses`: addresses and ranges as text, of either family), and the IPv6 forms of all that is IPv4.
 */
export function closedIntervals(
  hostAddresses: readonly string[],
  settings: NetworkSettings,
): readonly AddressInterval[] {
  const plain = [
    ...alwaysClosed.map(([range]) => range),
    settings.ipv4Subnet,
    settings.ipv6Subnet,
    ...hostAddresses,
  ].flatMap((range) => parseRange(range))
  return [...plain, ...plain.filter(isIpv4Interval).flatMap(embedded)]
}

function embedded({ first, last }: AddressInterval): AddressInterval[] {
  const low = (address: bigint) => address & 0xffff_ffffn
  return embeddings.map(({ prefix, shift }) => ({
    first: prefix | (low(first) << shift),
    last: prefix | (((low(last) + 1n) << shift) - 1n),
  }))
}
