// Names of the reverse tree: 4.3.75.10.in-addr.arpa (RFC 1035 §3.5) and the nibbles of ip6.arpa (RFC 3596 §2.5), which name
// an address, or with fewer labels all addresses that begin so.
import { isIPv4 } from 'node:net'
import { parseAddress } from '../address.ts'
import { type AddressInterval, addressNumber } from '../policy/address-range.ts'

interface Tree {
  readonly suffix: string
  readonly labelPattern: RegExp
  readonly radix: number
  readonly labelBits: number
  readonly labels: number
  /** Above the bits of the labels. */
  readonly prefix: bigint
}

const ipv4Tree: Tree = {
  suffix: 'in-addr.arpa',
  labelPattern: /^(0|[1-9]\d{0,2})$/,
  radix: 10,
  labelBits: 8,
  labels: 4,
  prefix: 0xffff_0000_0000n,
}
const ipv6Tree: Tree = {
  suffix: 'ip6.arpa',
  labelPattern: /^[0-9a-f]$/,
  radix: 16,
  labelBits: 4,
  labels: 32,
  prefix: 0n,
}

export interface ReverseRange {
  /** All addresses below this name. */
  readonly interval: AddressInterval
  /** The name of the part of the tree, above this name or this name itself, that lies just within `subnet`. */
  apexFor(subnet: AddressInterval): string
}

/** What a lower-case name of the reverse tree is about; undefined where it is no such name. */
export function reverseRange(name: string): ReverseRange | undefined {
  const tree = [ipv4Tree, ipv6Tree].find(({ suffix }) => name.endsWith(`.${suffix}`))
  if (tree === undefined) return undefined
  const labels = name.slice(0, -tree.suffix.length - 1).split('.')
  if (labels.length > tree.labels || !labels.every((label) => tree.labelPattern.test(label))) return undefined
  const parts = labels.toReversed().map((label) => Number.parseInt(label, tree.radix))
  if (parts.some((part) => part >= 1 << tree.labelBits)) return undefined
  return { interval: intervalOf(tree, parts), apexFor: (subnet) => apexWithin(tree, parts, labels, subnet) }
}

/** The full reverse name of one address. */
export function reverseName(address: string): string {
  const isIpv4 = isIPv4(address)
  if (isIpv4) return [...address.split('.').toReversed(), ipv4Tree.suffix].join('.')
  const nibbles = addressNumber(parseAddress(address)).toString(16).padStart(32, '0')
  return [...[...nibbles].toReversed(), ipv6Tree.suffix].join('.')
}

function intervalOf(tree: Tree, parts: readonly number[]): AddressInterval {
  const bits = BigInt((tree.labels - parts.length) * tree.labelBits)
  const value = parts.reduce((number, part) => (number << BigInt(tree.labelBits)) | BigInt(part), 0n)
  const first = tree.prefix | (value << bits)
  return { first, last: first + (1n << bits) - 1n }
}

function apexWithin(
  tree: Tree,
  parts: readonly number[],
  labels: readonly string[],
  { first, last }: AddressInterval,
): string {
  let count = 1
  while (count < parts.length) {
    const interval = intervalOf(tree, parts.slice(0, count))
    if (interval.first >= first && interval.last <= last) break
    count++
  }
  return [...labels.slice(labels.length - count), tree.suffix].join('.')
}
