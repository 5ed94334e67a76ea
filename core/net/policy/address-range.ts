// Ranges of addresses: as people write them (`192.0.2.0/24`, `2001:db8::/32`, one address, `any`) and as numbers of 128 bits
// to compute with. Used when tables are made, never in the packet path.
import { isIPv4, isIPv6 } from 'node:net'
import { type AddressWords, formatAddress, isMappedIpv4, parseAddress } from '../address.ts'
import { NetError } from '../errors.ts'

/** All addresses from `first` to `last`, both included; IPv4 as ::ffff:a.b.c.d, so that one order holds for both families. */
export interface AddressInterval {
  readonly first: bigint
  readonly last: bigint
}

const HIGHEST = (1n << 128n) - 1n
/** Of IPv4 in IPv6, RFC 4291 §2.5.5.2. */
const MAPPED: AddressInterval = { first: 0xffff_0000_0000n, last: 0xffff_ffff_ffffn }

/**
 * The addresses that `text` means: an address, `ADDRESS/BITS`, or `any` for all of both families. An IPv6 range never
 * includes IPv4: `::/0` is two intervals, since the addresses of IPv4 lie between them. Throws NetError `net.bad-address`.
 */
export function parseRange(text: string): readonly AddressInterval[] {
  if (text === 'any') return [{ first: 0n, last: HIGHEST }]
  const { address, bits } = split(text)
  const isIpv4 = isIPv4(address)
  const first = addressNumber(parseAddress(address))
  const last = first + (1n << BigInt((isIpv4 ? 32 : 128) - bits)) - 1n
  if ((first & (last - first)) !== 0n) throw hostBits(text, address, bits, first & ~(last - first))
  return isIpv4 ? [{ first, last }] : withoutIpv4({ first, last })
}

/** The words of an address as one number. */
export function addressNumber(words: AddressWords): bigint {
  return words.reduce((number, word) => (number << 32n) | BigInt(word >>> 0), 0n)
}

/** The four words of a number below 2^128. */
export function addressWords(number: bigint): AddressWords {
  const word = (shift: bigint) => Number((number >> shift) & 0xffff_ffffn) | 0
  return [word(96n), word(64n), word(32n), word(0n)]
}

export function isIpv4Interval({ first, last }: AddressInterval): boolean {
  return first >= MAPPED.first && last <= MAPPED.last
}

export function doOverlap(one: AddressInterval, other: AddressInterval): boolean {
  return one.first <= other.last && other.first <= one.last
}

function withoutIpv4(range: AddressInterval): AddressInterval[] {
  if (!doOverlap(range, MAPPED)) return [range]
  return [
    { first: range.first, last: MAPPED.first - 1n },
    { first: MAPPED.last + 1n, last: range.last },
  ].filter(({ first, last }) => first <= last)
}

function split(text: string): { address: string; bits: number } {
  const slash = text.indexOf('/')
  const address = slash < 0 ? text : text.slice(0, slash)
  if (!isIPv4(address) && !isIPv6(address)) {
    throw unreadable(text, 'it is no address', 'Write an address, ADDRESS/BITS, or "any"')
  }
  if (address.includes('%'))
    throw unreadable(text, 'a range belongs to no interface', 'Leave out the "%" part')
  if (!isIPv4(address) && isMappedIpv4(parseAddress(address))) {
    throw unreadable(text, 'it is IPv4 inside of IPv6', 'Write the IPv4 address alone')
  }
  const longest = isIPv4(address) ? 32 : 128
  if (slash < 0) return { address, bits: longest }
  const bits = text.slice(slash + 1)
  if (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > longest) {
    throw unreadable(text, `"${bits}" is no number of bits from 0 to ${longest}`)
  }
  return { address, bits: Number(bits) }
}

function hostBits(text: string, address: string, bits: number, meant: bigint): NetError {
  const range = `${formatAddress(addressWords(meant))}/${bits}`
  return unreadable(
    text,
    `${address} has bits beyond the first ${bits}`,
    `Write ${range} for the range, or ${address} for the one address`,
  )
}

function unreadable(text: string, reason: string, hint?: string): NetError {
  return new NetError('net.bad-address', `Cannot read range "${text}": ${reason}`, { hint })
}
