import { describe, expect, it } from 'vitest'
import { parsePolicyRule } from './policy-rules.ts'

describe('parsePolicyRule()', () => {
  it.each([
    ['any', { range: 'any' }],
    ['10.0.0.0/8', { range: '10.0.0.0/8' }],
    ['10.0.0.0/8/udp', { range: '10.0.0.0/8', protocol: 'udp' }],
    ['192.0.2.7:443', { range: '192.0.2.7', ports: [443, 443] }],
    ['192.0.2.0/24:8000-8010/TCP', { range: '192.0.2.0/24', protocol: 'tcp', ports: [8000, 8010] }],
    ['2001:db8::/32', { range: '2001:db8::/32' }],
    ['2001:db8::1/icmp', { range: '2001:db8::1', protocol: 'icmp' }],
    ['[2001:db8::/32]:25', { range: '2001:db8::/32', ports: [25, 25] }],
    ['[2001:db8::1]', { range: '2001:db8::1' }],
    ['any:25/tcp', { range: 'any', protocol: 'tcp', ports: [25, 25] }],
    ['any/icmp', { range: 'any', protocol: 'icmp' }],
  ])('reads %j', (text, rule) => {
    expect(parsePolicyRule('deny', text)).toEqual({ action: 'deny', ...rule })
  })

  it.each([
    ['', 'an address is missing'],
    [':25', 'an address is missing'],
    ['example.org', '"example.org" is neither an address nor a range of addresses'],
    ['10.0.0.0/33', 'a prefix of 10.0.0.0 goes from 0 to 32, not "33"'],
    ['2001:db8::/129', 'a prefix of 2001:db8:: goes from 0 to 128, not "129"'],
    ['any/sctp', 'rules are for tcp, udp and icmp, not for "sctp"'],
    ['any:25/icmp', 'icmp has no ports'],
    ['any:0', '"0" is neither a port nor a range of ports'],
    ['any:90-80', '"90-80" is neither a port nor a range of ports'],
    ['any:', '"" is neither a port nor a range of ports'],
    ['[fe80::1%eth0]:25', '"fe80::1%eth0" is neither an address nor a range of addresses'],
  ])('refuses %j in one sentence', (text, reason) => {
    expect(() => parsePolicyRule('allow', text)).toThrow(
      expect.objectContaining({ code: 'cli.usage', message: `Cannot use --allow "${text}": ${reason}` }),
    )
  })
})
