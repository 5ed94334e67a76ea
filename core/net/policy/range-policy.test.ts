import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AddressWords, formatAddress, parseAddress } from '../address.ts'
import type { PolicyRule } from '../engine/messages.ts'
import { Frame } from '../frame/frame.ts'
import { ETHER_IPV6, ETHER_TYPE, NETWORK, PROTOCOL_UDP } from '../frame/layout.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { defaultSettings } from '../settings.ts'
import { addressNumber, addressWords } from './address-range.ts'
import { alwaysClosed } from './closed-ranges.ts'
import type { GuestPolicy, PolicyVerdict } from './guest-policy.ts'
import { checkRule, compilePolicy } from './range-policy.ts'

const TCP = 6
const UDP = 17
const ICMP = 1
const ICMPV6 = 58
const hostAddresses = ['203.0.113.7', '192.168.1.255', '2001:db8:1::7', '10.9.0.0/24']

function ask(policy: GuestPolicy, address: string, protocol = TCP, port = 80): PolicyVerdict {
  return policy.verdict(...parseAddress(address), protocol, port)
}

describe('closed ranges', () => {
  const policy = compilePolicy([{ action: 'allow', range: 'any' }], hostAddresses, defaultSettings)

  it.each([
    '0.0.0.0',
    '0.255.255.255',
    '127.0.0.1',
    '127.255.255.255',
    '169.254.169.254',
    '224.0.0.251',
    '239.255.255.255',
    '240.0.0.1',
    '255.255.255.255',
    '10.75.0.1',
    '10.75.255.255',
    '203.0.113.7',
    '192.168.1.255',
    '10.9.0.200',
    '::',
    '::1',
    '::127.0.0.1',
    '::ffff:0:127.0.0.1',
    '64:ff9b::127.0.0.1',
    '64:ff9b::10.75.3.4',
    '64:ff9b::203.0.113.7',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::8.8.8.8',
    '2002:7f00:1::1',
    '2002:cb00:7107::1',
    '2001:0:4136:e378:8000:63bf:3fff:fdd2',
    'fe80::1',
    'febf::1',
    'fec0::1',
    'feff::1',
    'ff02::1',
    'ff0e::1',
    'fdd4:1476:6c7e::1',
    'fdd4:1476:6c7e:ffff::1',
    '2001:db8:1::7',
  ])('%s is closed, and no rule opens it', (address) => {
    expect(ask(policy, address)).toBe('closed-range')
  })

  it.each([
    '1.0.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '169.253.255.255',
    '169.255.0.0',
    '223.255.255.255',
    '10.74.255.255',
    '10.76.0.0',
    '203.0.113.6',
    '203.0.113.8',
    '192.168.1.254',
    '10.9.1.0',
    '64:ff9b::8.8.8.8',
    '2002:808:808::1',
    '2001:1::1',
    '2001:4860:4860::8888',
    '1::1',
    'fdd4:1476:6c7d::1',
    'fdd4:1476:6c7f::',
    'fd00::1',
    '2001:db8:1::8',
  ])('%s is open', (address) => {
    expect(ask(policy, address)).toBe('allowed')
  })
})

describe('IPv4 in IPv6 on the wire', () => {
  it('is closed before anybody takes it for IPv4', () => {
    const frame = new Frame()
    frame.buffer.view.setUint16(ETHER_TYPE, ETHER_IPV6)
    // Version 6, 8 bytes of UDP, to ::ffff:192.0.2.1.
    frame.buffer.bytes.set([0x60, 0, 0, 0, 0, 8, PROTOCOL_UDP, 64], NETWORK)
    frame.buffer.view.setUint16(NETWORK + 44, 8)
    frame.buffer.bytes.set([0xfd, 0xd4, 0x14, 0x76, 0x6c, 0x7e], NETWORK + 8)
    frame.buffer.bytes.set([0, 0, 0xff, 0xff, 192, 0, 2, 1], NETWORK + 32)
    expect(parseFrame(frame, NETWORK + 48)).toBe('closed-range')
    frame.buffer.bytes.set([0x20, 1], NETWORK + 24)
    expect(parseFrame(frame, NETWORK + 48)).toBeUndefined()
  })
})

describe('rules', () => {
  const compile = (...rules: PolicyRule[]) => compilePolicy(rules, [], defaultSettings)

  it('lets the first rule that fits decide, and allows what none names', () => {
    const policy = compile(
      { action: 'allow', range: '192.0.2.0/28' },
      { action: 'deny', range: '192.0.2.0/24' },
      { action: 'allow', range: '192.0.2.200' },
    )
    expect(ask(policy, '192.0.2.15')).toBe('allowed')
    expect(ask(policy, '192.0.2.16')).toBe('policy')
    expect(ask(policy, '192.0.2.200')).toBe('policy')
    expect(ask(policy, '192.0.3.0')).toBe('allowed')
  })

  it('asks for protocol and ports where a rule names them', () => {
    const policy = compile(
      { action: 'allow', range: '2001:db8::/32', protocol: 'tcp', ports: [80, 90] },
      { action: 'allow', range: '2001:db8::/32', ports: [53, 53] },
      { action: 'allow', range: '2001:db8::/32', protocol: 'icmp' },
      { action: 'deny', range: 'any' },
    )
    expect(ask(policy, '2001:db8::1', TCP, 79)).toBe('policy')
    expect(ask(policy, '2001:db8::1', TCP, 80)).toBe('allowed')
    expect(ask(policy, '2001:db8::1', TCP, 90)).toBe('allowed')
    expect(ask(policy, '2001:db8::1', TCP, 91)).toBe('policy')
    expect(ask(policy, '2001:db8::1', UDP, 80)).toBe('policy')
    expect(ask(policy, '2001:db8::1', UDP, 53)).toBe('allowed')
    expect(ask(policy, '2001:db8::1', ICMPV6, 0)).toBe('allowed')
    expect(ask(policy, '192.0.2.1', ICMP, 0)).toBe('policy')
    expect(ask(policy, '::1', TCP, 80)).toBe('closed-range')
  })

  it('takes ::/0 for IPv6 alone', () => {
    const policy = compile({ action: 'deny', range: '::/0' })
    expect(ask(policy, '2001:db8::1')).toBe('policy')
    expect(ask(policy, '192.0.2.1')).toBe('allowed')
    expect(ask(compile({ action: 'deny', range: '0.0.0.0/0' }), '2001:db8::1')).toBe('allowed')
  })

  it.each<[PolicyRule, string]>([
    [{ action: 'deny', range: 'example.org' }, 'Cannot read range "example.org": it is no address'],
    [
      { action: 'deny', range: '10.0.0.0/33' },
      'Cannot read range "10.0.0.0/33": "33" is no number of bits from 0 to 32',
    ],
    [
      { action: 'deny', range: '10.0.0.0/' },
      'Cannot read range "10.0.0.0/": "" is no number of bits from 0 to 32',
    ],
    [
      { action: 'deny', range: '10.0.0.1/8' },
      'Cannot read range "10.0.0.1/8": 10.0.0.1 has bits beyond the first 8',
    ],
    [
      { action: 'deny', range: '::ffff:1.2.3.4' },
      'Cannot read range "::ffff:1.2.3.4": it is IPv4 inside of IPv6',
    ],
    [
      { action: 'deny', range: 'fe80::1%eth0' },
      'Cannot read range "fe80::1%eth0": a range belongs to no interface',
    ],
    [
      { action: 'deny', range: 'any', protocol: 'icmp', ports: [1, 2] },
      'Cannot use the policy rule for "any": ICMP has no ports',
    ],
    [
      { action: 'deny', range: 'any', ports: [9, 2] },
      'Cannot use the policy rule for "any": 9 to 2 is no range of ports from 1 to 65535',
    ],
  ])('refuses %j with a sentence', (rule, sentence) => {
    expect(() => checkRule(rule)).toThrowError(sentence)
  })
})

describe('the table', () => {
  it('agrees with reading the rules one after the other', () => {
    fc.assert(
      fc.property(
        fc.array(anyRule, { maxLength: 12 }),
        fc.array(anyHost, { maxLength: 3 }),
        (rules, hosts) => {
          const policy = compilePolicy(rules, hosts, defaultSettings)
          for (const address of interestingAddresses(rules, hosts)) {
            for (const protocol of [TCP, UDP, ICMP, ICMPV6]) {
              const isIcmp = protocol === ICMP || protocol === ICMPV6
              for (const port of isIcmp ? [0] : [1, 53, 80, 443, 65_535]) {
                const words = addressWords(address)
                const got = policy.verdict(...words, protocol, port)
                const expected = readRules(rules, hosts, words, protocol, port)
                if (got !== expected)
                  throw new Error(`${formatAddress(words)} ${protocol}/${port}: ${got}, not ${expected}`)
              }
            }
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})

const anyRange = fc.oneof(
  fc.constantFrom(
    'any',
    '0.0.0.0/0',
    '::/0',
    '2000::/3',
    '10.0.0.0/8',
    '192.0.2.0/24',
    '0.0.0.0/1',
    '8000::/1',
  ),
  fc.tuple(fc.integer({ min: 0, max: 0xffff_ffff }), fc.integer({ min: 0, max: 32 })).map(([word, bits]) => {
    const masked = bits === 0 ? 0 : word & (-1 << (32 - bits))
    return `${formatAddress([0, 0, 0xffff, masked | 0])}/${bits}`
  }),
  fc.tuple(fc.bigInt(0n, (1n << 128n) - 1n), fc.integer({ min: 0, max: 128 })).map(([number, bits]) => {
    const size = 1n << BigInt(128 - bits)
    const text = formatAddress(addressWords((number / size) * size))
    return text.includes(':') ? `${text}/${bits}` : '::/0'
  }),
)
const anyRule: fc.Arbitrary<PolicyRule> = fc
  .record({
    action: fc.constantFrom<'allow' | 'deny'>('allow', 'deny'),
    range: anyRange,
    protocol: fc.option(fc.constantFrom<'tcp' | 'udp' | 'icmp'>('tcp', 'udp', 'icmp'), { nil: undefined }),
    ports: fc.option(fc.constantFrom<readonly [number, number]>([1, 79], [53, 53], [80, 443], [1, 65_535]), {
      nil: undefined,
    }),
  })
  .map(({ action, range, protocol, ports }) => ({
    action,
    range,
    ...(protocol !== undefined && { protocol }),
    ...(ports !== undefined && protocol !== 'icmp' && { ports }),
  }))
const anyHost = fc.constantFrom('203.0.113.7', '192.0.2.1', '2001:db8::1', '198.51.100.0/25')

/** Each end of each range, and its neighbours. */
function interestingAddresses(rules: readonly PolicyRule[], hosts: readonly string[]): bigint[] {
  const texts = [...rules.map((rule) => rule.range), ...hosts, ...alwaysClosed.map(([range]) => range)]
  const ends = texts
    .filter((text) => text !== 'any')
    .flatMap((text) => {
      const { first, size } = naiveRange(text)
      return [first - 1n, first, first + size / 2n, first + size - 1n, first + size]
    })
  return ends.filter((number) => number >= 0n && number < 1n << 128n)
}

function naiveRange(text: string): { first: bigint; size: bigint; isIpv4: boolean } {
  const [address = '', bits] = text.split('/')
  const isIpv4 = !address.includes(':')
  const length = isIpv4 ? 32 : 128
  return {
    first: addressNumber(parseAddress(address)),
    size: 1n << BigInt(length - Number(bits ?? length)),
    isIpv4,
  }
}

function isIn(text: string, number: bigint): boolean {
  if (text === 'any') return true
  const { first, size, isIpv4 } = naiveRange(text)
  const isMapped = number >> 32n === 0xffffn
  return isIpv4 === isMapped && number >= first && number < first + size
}

function readRules(
  rules: readonly PolicyRule[],
  hosts: readonly string[],
  words: AddressWords,
  protocol: number,
  port: number,
): PolicyVerdict {
  const number = addressNumber(words)
  const { ipv4Subnet, ipv6Subnet } = defaultSettings
  const closed = [...alwaysClosed.map(([range]) => range), ipv4Subnet, ipv6Subnet, ...hosts]
  const isClosed = (address: bigint) => closed.some((range) => isIn(range, address))
  if (isClosed(number)) return 'closed-range'
  const nat64 = 0x0064_ff9bn << 96n
  if (number >> 32n === nat64 >> 32n && isClosed(0xffff_0000_0000n | (number & 0xffff_ffffn)))
    return 'closed-range'
  if (number >> 112n === 0x2002n && isClosed(0xffff_0000_0000n | ((number >> 80n) & 0xffff_ffffn))) {
    return 'closed-range'
  }
  const names = { [TCP]: 'tcp', [UDP]: 'udp', [ICMP]: 'icmp', [ICMPV6]: 'icmp' } as const
  const name = names[protocol as keyof typeof names]
  for (const rule of rules) {
    if (!isIn(rule.range, number)) continue
    if (rule.protocol !== undefined && rule.protocol !== name) continue
    if (rule.ports !== undefined && (port < rule.ports[0] || port > rule.ports[1])) continue
    return rule.action === 'allow' ? 'allowed' : 'policy'
  }
  return 'allowed'
}
