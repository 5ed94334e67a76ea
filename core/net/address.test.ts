import { isIPv6 } from 'node:net'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../seeded-random.fixture.ts'
import { formatAddress, formatEnd, formatIpv4, isMappedIpv4, parseAddress } from './address.ts'

describe('addresses', () => {
  it.each([
    ['10.75.0.1', [0, 0, 0xffff, 0x0a4b_0001]],
    ['255.255.255.255', [0, 0, 0xffff, -1]],
    ['0.0.0.0', [0, 0, 0xffff, 0]],
    ['::', [0, 0, 0, 0]],
    ['::1', [0, 0, 0, 1]],
    ['fdd4:1476:6c7e::1', [0xfdd4_1476 | 0, 0x6c7e_0000, 0, 1]],
    ['2001:db8:1:2:3:4:5:6', [0x2001_0db8, 0x0001_0002, 0x0003_0004, 0x0005_0006]],
    ['fe80::', [0xfe80_0000 | 0, 0, 0, 0]],
  ] as const)('%s is four words and back', (text, words) => {
    expect(parseAddress(text)).toEqual(words)
    expect(formatAddress([...words])).toBe(text)
  })

  it('reads other ways to write the same', () => {
    expect(parseAddress('::ffff:10.75.0.1')).toEqual(parseAddress('10.75.0.1'))
    expect(parseAddress('64:ff9b::192.0.2.1')).toEqual([0x0064_ff9b, 0, 0, 0xc000_0201 | 0])
    expect(parseAddress('2001:DB8:0:0:0:0:0:1')).toEqual(parseAddress('2001:db8::1'))
    expect(parseAddress('1::')).toEqual([0x0001_0000, 0, 0, 0])
  })

  it('writes as RFC 5952 says: the longest run of zeros short, the first of equals, never one zero alone', () => {
    const written = (text: string) => formatAddress(parseAddress(text))
    expect(written('2001:db8:0:1:1:1:1:1')).toBe('2001:db8:0:1:1:1:1:1')
    expect(written('2001:0:0:1:0:0:0:1')).toBe('2001:0:0:1::1')
    expect(written('2001:db8:0:0:1:0:0:1')).toBe('2001:db8::1:0:0:1')
    expect(written('0:0:0:0:0:0:0:0')).toBe('::')
    expect(written('1:0:0:0:0:0:0:0')).toBe('1::')
  })

  it('reads back whatever it writes', () => {
    const random = new SeededRandom(1)
    const word = () =>
      (random.chance(0.4) ? 0 : random.below(2 ** 32) | 0) & (random.chance(0.3) ? 0xffff : -1)
    for (let round = 0; round < 5_000; round++) {
      const words = [word(), word(), word(), word()] as const
      const text = formatAddress(words)
      if (!isMappedIpv4(words)) expect(isIPv6(text)).toBe(true)
      expect(parseAddress(text)).toEqual(words)
    }
  })

  it.each([
    '',
    '10.75.0',
    '10.75.0.256',
    '010.1.1.1',
    'fe80::1%eth0',
    '1:2',
    ':::',
    'localhost',
    '10.75.0.1/16',
    '[::1]',
  ])('refuses "%s"', (text) => {
    expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'net.bad-address' }))
  })

  it('writes ends with their ports', () => {
    expect(formatEnd(parseAddress('10.75.0.1'), 80)).toBe('10.75.0.1:80')
    expect(formatEnd(parseAddress('::1'), 80)).toBe('[::1]:80')
    expect(formatIpv4(-1)).toBe('255.255.255.255')
  })
})
