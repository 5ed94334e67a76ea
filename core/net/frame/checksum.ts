// The Internet checksum (RFC 1071) over frames: sums to build, to verify, and to mend after one field changed (RFC 1624).
// Sums travel unfolded, as numbers below 2^32, so that parts can be added; `fold()` ends it.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import type { Frame } from './frame.ts'
import {
  ETHER_IPV6,
  ETHER_TYPE,
  NETWORK,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from './layout.ts'

/** 16-bit words that can be added before a sum leaves the range of 32-bit integers. */
const WORDS_PER_FOLD = 16_384

/**
 * Adds the 16-bit words of `length` bytes from `offset` on to `start` (another sum, below 2^31). An odd last byte counts
 * as the upper half of a word. Throws RangeError outside of the buffer.
 */
export function internetSum(buffer: PinnedBuffer, offset: number, length: number, start = 0): number {
  buffer.at(offset, length)
  if ((offset & 1) !== 0) return sumFromOddOffset(buffer, offset, length, start)
  // The sum does not mind the byte order (RFC 1071 §2 (B)): the machine's own words are added and the result is turned.
  const { words16 } = buffer
  const end = (offset + length) >>> 1
  let sum = 0
  let at = offset >>> 1
  while (at < end) {
    const stop = Math.min(end, at + WORDS_PER_FOLD)
    for (; at < stop; at++) sum += words16[at] ?? 0
    sum = (sum & 0xffff) + (sum >>> 16)
  }
  if ((length & 1) !== 0) sum += buffer.bytes[offset + length - 1] ?? 0
  sum = fold(sum)
  return start + (((sum & 0xff) << 8) | (sum >>> 8))
}

function sumFromOddOffset(buffer: PinnedBuffer, offset: number, length: number, start: number): number {
  const { view, bytes } = buffer
  const end = offset + length
  let sum = start
  let at = offset
  for (; at + 1 < end; at += 2) sum += view.getUint16(at)
  if (at < end) sum += (bytes[at] ?? 0) << 8
  // Careful: above 2^32 `>>>` would lose the carry; 32 Ki words and a start below 2^31 stay under it.
  return (sum & 0xffff) + (sum >>> 16)
}

/** The 16 bits of a sum, not complemented. */
export function fold(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16)
  return (once & 0xffff) + (once >>> 16)
}

/** The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1) of words as in address.ts. */
export function pseudoHeaderSum(
  source0: number,
  source1: number,
  source2: number,
  source3: number,
  destination0: number,
  destination1: number,
  destination2: number,
  destination3: number,
  protocol: number,
  transportBytes: number,
): number {
  const sum = halves(source3) + halves(destination3) + protocol + halves(transportBytes)
  if (source0 === 0 && source1 === 0 && source2 === MAPPED_PREFIX) return sum
  return (
    sum +
    halves(source0) +
    halves(source1) +
    halves(source2) +
    halves(destination0) +
    halves(destination1) +
    halves(destination2)
  )
}

/** The pseudo-header's sum for the packet whose IP header stands in `buffer` at its usual place. */
export function pseudoHeaderSumAt(buffer: PinnedBuffer, protocol: number, transportBytes: number): number {
  const start = protocol + halves(transportBytes)
  return buffer.view.getUint16(ETHER_TYPE) === ETHER_IPV6
    ? internetSum(buffer, NETWORK + 8, 32, start)
    : internetSum(buffer, NETWORK + 12, 8, start)
}

function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff)
}

/** The checksum field after a 16-bit word that it covers was changed (RFC 1624 §3, equation 3). */
export function replacedWord(checksum: number, before: number, after: number): number {
  return ~fold((~checksum & 0xffff) + (~before & 0xffff) + after) & 0xffff
}

/**
 * Whether the transport checksum of a whole (not fragmented) packet is right: TCP, UDP, ICMP and ICMPv6; true for other
 * protocols. A UDP checksum of 0 is none, which IPv6 does not allow (RFC 768, RFC 8200 §8.1).
 */
export function isTransportChecksumRight(frame: Frame): boolean {
  const { buffer, transport, protocol } = frame
  // UDP has a length of its own, which may end before the packet does; the parser has compared the two.
  const length = protocol === PROTOCOL_UDP ? buffer.view.getUint16(transport + 4) : frame.end - transport
  if (protocol === PROTOCOL_ICMP) return fold(internetSum(buffer, transport, length)) === 0xffff
  if (protocol === PROTOCOL_UDP && buffer.view.getUint16(transport + 6) === 0) return !frame.isIpv6
  if (protocol !== PROTOCOL_TCP && protocol !== PROTOCOL_UDP && protocol !== PROTOCOL_ICMPV6) return true
  const sum = pseudoHeaderSum(
    frame.source0,
    frame.source1,
    frame.source2,
    frame.source3,
    frame.destination0,
    frame.destination1,
    frame.destination2,
    frame.destination3,
    protocol,
    length,
  )
  return fold(internetSum(buffer, transport, length, sum)) === 0xffff
}
