// Where a registry may send us. A redirect or a token server's URL is the registry's word; without a bound it could make
// us speak to services of this machine, its network or its cloud (SSRF). An address counts after the name was looked up.

import dns from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'
import { OciError } from '../errors.ts'

/** How close to this machine an address is. Never: link-local, unspecified, multicast, and where clouds keep secrets. */
export type Reach = 'public' | 'private' | 'loopback' | 'never'

const RANK: Readonly<Record<Reach, number>> = { public: 0, private: 1, loopback: 2, never: 3 }

const RANGES: readonly { readonly reach: Reach; readonly ranges: readonly (readonly [string, number])[] }[] =
  [
    {
      reach: 'loopback',
      ranges: [
        ['127.0.0.0', 8],
        ['::1', 128],
      ],
    },
    {
      reach: 'never',
      // Also what wraps an IPv4 address in IPv6 and may be unwrapped on the way: deprecated IPv4-compatible (RFC 4291
      // §2.5.5.1), IPv4-translated (RFC 2765), NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380).
      ranges: [
        ['0.0.0.0', 8],
        ['169.254.0.0', 16],
        ['224.0.0.0', 3],
        ['::', 128],
        ['fe80::', 10],
        ['ff00::', 8],
        ['::', 96],
        ['::ffff:0:0:0', 96],
        ['64:ff9b::', 96],
        ['64:ff9b:1::', 48],
        ['2002::', 16],
        ['2001::', 32],
        // Metadata services that are not link-local: Azure's wire server, Alibaba's, Amazon's on IPv6.
        ['168.63.129.16', 32],
        ['100.100.100.200', 32],
        ['fd00:ec2::254', 128],
      ],
    },
    {
      reach: 'private',
      // RFC 1918, RFC 6598 (carrier NAT), RFC 2544 (benchmarks), RFC 4193 (unique local), RFC 3879 (site local).
      ranges: [
        ['10.0.0.0', 8],
        ['172.16.0.0', 12],
        ['192.168.0.0', 16],
        ['100.64.0.0', 10],
        ['192.0.0.0', 24],
        ['198.18.0.0', 15],
        ['fc00::', 7],
        ['fec0::', 10],
      ],
    },
  ]

const LISTS = RANGES.map(({ reach, ranges }) => {
  const list = new BlockList()
  for (const [address, prefix] of ranges)
    list.addSubnet(address, prefix, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return { reach, list }
})

/** How close an address is. IPv4 addresses inside IPv6 ones are seen through. */
export function reachOf(address: string): Reach {
  const family = isIP(address)
  if (family === 0) return 'never'
  // BlockList sees through IPv4-mapped addresses (::ffff:127.0.0.1) by itself.
  for (const { reach, list } of LISTS) if (list.check(address, family === 6 ? 'ipv6' : 'ipv4')) return reach
  return 'public'
}

/** Whether a host as written in a reference is this machine. */
export function isLoopbackHost(hostname: string): boolean {
  const bare = withoutBrackets(hostname)
  return bare === 'localhost' || (isIP(bare) !== 0 && reachOf(bare) === 'loopback')
}

/** The closest that the addresses of a host are; a name that only resolves to loopback counts as private. */
export async function reachOfHost(hostname: string): Promise<Reach> {
  if (isLoopbackHost(hostname)) return 'loopback'
  const bare = withoutBrackets(hostname)
  const addresses =
    isIP(bare) === 0 ? (await dns.promises.lookup(bare, { all: true })).map(({ address }) => address) : [bare]
  return addresses.some((address) => reachOf(address) !== 'public') ? 'private' : 'public'
}

/** Throws `oci.address-not-allowed` when a URL's host is a literal address that is closer than `limit`. */
export function requireReach(url: URL, limit: Reach): void {
  const bare = withoutBrackets(url.hostname)
  if (isIP(bare) !== 0 && !isWithin(reachOf(bare), limit)) throw notAllowed(url.hostname, bare)
}

/** A name lookup for sockets that gives only addresses within `limit`, and fails when there is none. */
export function guardedLookup(limit: Reach): LookupFunction {
  return (hostname, options, callback) => {
    dns.lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, '', 0)
      const allowed = addresses.filter(({ address }) => isWithin(reachOf(address), limit))
      const [first] = allowed
      if (first === undefined) {
        const refused = addresses.map(({ address }) => address).join(', ')
        return callback(notAllowed(hostname, refused), '', 0)
      }
      if (options.all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

function isWithin(reach: Reach, limit: Reach): boolean {
  return reach !== 'never' && RANK[reach] <= RANK[limit]
}

function withoutBrackets(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '')
}

function notAllowed(hostname: string, address: string): OciError {
  return new OciError(
    'oci.address-not-allowed',
    `Cannot follow the registry to ${hostname}: ${address} is not an address that it may send us to`,
    {
      data: { hostname, address },
    },
  )
}
