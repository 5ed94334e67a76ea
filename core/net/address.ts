// Addresses as the packet path has them: four 32-bit words in host order, IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2),
// so that one flow table and one policy table serve both families; and as people and messages write them: strings.
import { isIPv4, isIPv6 } from 'node:net'
import { NetError } from './errors.ts'

/** The four words of an address, each a signed 32-bit number. Never made in the packet path. */
export type AddressWords = readonly [number, number, number, number]

/** The third word of every IPv4 address. */
export const MAPPED_PREFIX = 0xffff

export function isMappedIpv4([first, second, third]: AddressWords): boolean {
  return first === 0 && second === 0 && third === MAPPED_PREFIX
}

/** Reads an IPv4 or IPv6 address. Throws NetError `net.bad-address`. */
export function parseAddress(text: string): AddressWords {
  if (isIPv4(text)) return [0, 0, MAPPED_PREFIX, parseIpv4(text)]
  if (isIPv6(text) && !text.includes('%')) return parseIpv6(text)
  throw new NetError('net.bad-address', `Cannot read "${text}": it is no IPv4 or IPv6 address`)
}

/** The words as a person writes them: `10.75.0.1`, `fdd4:1476:6c7e::1` (RFC 5952). */
export function formatAddress(words: AddressWords): string {
  if (isMappedIpv4(words)) return formatIpv4(words[3])
  const groups = words.flatMap((word) => [(word >>> 16) & 0xffff, word & 0xffff])
  const { start, length } = longestZeroRun(groups)
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':')
  if (length < 2) return hex(groups)
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`
}

/** `10.75.0.1` of the word of an IPv4 address. */
export function formatIpv4(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.')
}

/** `10.75.0.1:80`, `[fdd4:1476:6c7e::1]:80` */
export function formatEnd(words: AddressWords, port: number): string {
  return isMappedIpv4(words) ? `${formatIpv4(words[3])}:${port}` : `[${formatAddress(words)}]:${port}`
}

function parseIpv4(text: string): number {
  return text.split('.').reduce((word, part) => (word << 8) | Number(part), 0)
}

function parseIpv6(text: string): AddressWords {
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text)
  const tail = dotted?.[2] === undefined ? undefined : parseIpv4(dotted[2]) >>> 0
  const plain =
    tail === undefined ? text : `${dotted?.[1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`
  const [head = '', rest] = plain.split('::')
  const groupsOf = (part: string | undefined) =>
    part === undefined || part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const before = groupsOf(head)
  const after = groupsOf(rest)
  const groups = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after]
  const word = (index: number) => ((groups[index] ?? 0) << 16) | (groups[index + 1] ?? 0) | 0
  return [word(0), word(2), word(4), word(6)]
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  for (let start = 0; start < groups.length; start++) {
    let end = start
    while (groups[end] === 0) end++
    if (end - start > best.length) best = { start, length: end - start }
  }
  return best
}
