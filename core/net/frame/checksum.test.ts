import { describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { parseAddress } from '../address.ts'
import { fold, internetSum, pseudoHeaderSum, replacedWord } from './checksum.ts'

/** RFC 1071 §4.1, said slowly. */
function slowSum(bytes: Uint8Array): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  while (sum > 0xffff) sum = (sum % 0x10000) + Math.floor(sum / 0x10000)
  return sum
}

describe('internetSum()', () => {
  it('is the sum of RFC 1071, of any length, at even and odd places', () => {
    const buffer = new PinnedBuffer(70_001)
    for (let at = 0; at < buffer.sizeBytes; at++) buffer.bytes[at] = (at * 7919 + (at >>> 8)) & 255
    for (const offset of [0, 1, 2, 44, 63])
      for (const length of [0, 1, 2, 3, 20, 1_461, 32_768, 65_535, 65_536])
        expect(fold(internetSum(buffer, offset, length))).toBe(
          slowSum(buffer.bytes.subarray(offset, offset + length)),
        )
  })

  it('stays right where every byte is 255 and another sum comes in', () => {
    const buffer = new PinnedBuffer(65_538)
    buffer.bytes.fill(255)
    for (const offset of [0, 1])
      expect(fold(internetSum(buffer, offset, 65_536, 0x7fff_ffff))).toBe(
        fold(0x7fff_ffff) % 0xffff || 0xffff,
      )
  })

  it('refuses what lies outside of the buffer', () => {
    const buffer = new PinnedBuffer(64)
    expect(() => internetSum(buffer, 60, 6)).toThrow(RangeError)
    expect(() => internetSum(buffer, -2, 2)).toThrow(RangeError)
  })
})

describe('pseudoHeaderSum()', () => {
  const sumOf = (source: string, destination: string, protocol: number, bytes: number) =>
    fold(pseudoHeaderSum(...parseAddress(source), ...parseAddress(destination), protocol, bytes))

  it('counts the four bytes of IPv4 addresses and the sixteen of IPv6', () => {
    expect(sumOf('10.75.0.1', '192.0.2.9', 6, 1480)).toBe(
      slowSum(Uint8Array.of(10, 75, 0, 1, 192, 0, 2, 9, 0, 6, 1480 >> 8, 1480 & 255)),
    )
    const ipv6 = new Uint8Array(36)
    ipv6.set([0xfd, 0xd4, 0x14, 0x76, 0x6c, 0x7e], 0)
    ipv6[15] = 1
    ipv6.set([0x20, 0x01, 0x0d, 0xb8], 16)
    ipv6.set([0xff, 0xff], 30)
    ipv6.set([0, 1, 0x17, 0x70, 0x00, 58], 30)
    // 2001:db8::, 0x11770 bytes would be a jumbogram: the upper half of the length counts too.
    expect(sumOf('fdd4:1476:6c7e::1', '2001:db8::', 58, 0x1770 + 0x1_0000)).toBe(
      slowSum(Uint8Array.from([...ipv6.subarray(0, 30), 0, 0, 0, 1, 0x17, 0x70, 0, 58])),
    )
  })
})

describe('replacedWord()', () => {
  it('is what a whole new sum gives, for every change of a word', () => {
    const buffer = new PinnedBuffer(20)
    for (let seed = 0; seed < 2_000; seed++) {
      for (let at = 0; at < 20; at++) buffer.bytes[at] = (seed * 31 + at * at * 17) & 255
      const checksum = ~fold(internetSum(buffer, 0, 20)) & 0xffff
      const before = buffer.view.getUint16(8)
      const after = (seed * 40_503) & 0xffff
      buffer.view.setUint16(8, after)
      const fresh = ~fold(internetSum(buffer, 0, 20)) & 0xffff
      // 0 and 0xffff are one number in this arithmetic; both verify.
      expect(replacedWord(checksum, before, after) % 0xffff).toBe(fresh % 0xffff)
    }
  })
})
