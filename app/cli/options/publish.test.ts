import { describe, expect, it } from 'vitest'
import { UsageError } from '../failure.ts'
import { combinePorts, parseGuestPorts, parsePublished } from './publish.ts'

const tcp = (bind: string, hostPort: number, guestPort: number) => ({
  protocol: 'tcp' as const,
  bind,
  hostPort,
  guestPort,
})

describe('parsePublished()', () => {
  it.each([
    ['80', [tcp('', 0, 80)]],
    ['8080:80', [tcp('', 8080, 80)]],
    ['8080:80/tcp', [tcp('', 8080, 80)]],
    ['5353:53/UDP', [{ protocol: 'udp', bind: '', hostPort: 5353, guestPort: 53 }]],
    [':80', [tcp('', 0, 80)]],
    ['0:80', [tcp('', 0, 80)]],
    ['127.0.0.1:8080:80', [tcp('127.0.0.1', 8080, 80)]],
    ['0.0.0.0::80', [tcp('0.0.0.0', 0, 80)]],
    ['[::1]:8080:80', [tcp('::1', 8080, 80)]],
    ['[::]::80', [tcp('::', 0, 80)]],
    ['8000-8002:80-82', [tcp('', 8000, 80), tcp('', 8001, 81), tcp('', 8002, 82)]],
    ['80-81', [tcp('', 0, 80), tcp('', 0, 81)]],
    ['65535:65535', [tcp('', 65535, 65535)]],
  ])('reads %j', (text, ports) => {
    expect(parsePublished(text)).toEqual(ports)
  })

  it.each([
    ['', 'a port is missing'],
    ['8080:', 'a port is missing'],
    ['web:80', '"web" is no port'],
    ['8080:0', 'ports go from 1 to 65535, not 0'],
    ['65536:80', 'ports go from 1 to 65535, not 65536'],
    ['0-1:80-81', 'ports go from 1 to 65535, not 0-1'],
    ['90-80', 'the range 90-80 goes backwards'],
    ['8000-8010:80', '8000-8010 are 11 ports and 80 is one port'],
    ['8080:80-81', '8080 is one port and 80-81 are 2 ports'],
    ['8080:80/sctp', 'ports are of tcp or udp, not of "sctp"'],
    ['localhost:8080:80', '"localhost" is no address of the host'],
    [':8080:80', '"" is no address of the host'],
    ['::1:8080:80', 'an IPv6 address stands in brackets'],
    ['[127.0.0.1]:8080:80', '"127.0.0.1" is no IPv6 address'],
    ['[fe80::1%eth0]:8080:80', '"fe80::1%eth0" is no IPv6 address'],
    ['[::1]:80', 'two ports belong behind the address'],
  ])('refuses %j in one sentence', (text, reason) => {
    expect(() => parsePublished(text)).toThrow(
      expect.objectContaining({ code: 'cli.usage', message: `Cannot publish "${text}": ${reason}` }),
    )
  })
})

describe('parseGuestPorts()', () => {
  it('reads what images expose', () => {
    expect([
      ...parseGuestPorts('80'),
      ...parseGuestPorts('53/udp'),
      ...parseGuestPorts('8000-8001/tcp'),
    ]).toEqual([
      { protocol: 'tcp', guestPort: 80 },
      { protocol: 'udp', guestPort: 53 },
      { protocol: 'tcp', guestPort: 8000 },
      { protocol: 'tcp', guestPort: 8001 },
    ])
  })

  it.each(['', '0', '80:80', 'http'])('refuses %j', (text) => {
    expect(() => parseGuestPorts(text)).toThrow(UsageError)
  })
})

describe('combinePorts()', () => {
  it('takes what was said twice once', () => {
    expect(combinePorts([tcp('', 8080, 80), tcp('', 8080, 80), tcp('', 0, 80), tcp('', 0, 80)])).toHaveLength(
      3,
    )
  })

  it('takes one port of several addresses and of both protocols', () => {
    const ports = [
      tcp('127.0.0.1', 53, 53),
      tcp('::1', 53, 53),
      { ...tcp('::1', 53, 54), protocol: 'udp' as const },
    ]
    expect(combinePorts(ports)).toEqual(ports)
  })

  it('refuses to lead one port to two places', () => {
    expect(() => combinePorts([tcp('', 8080, 80), tcp('', 8080, 81)])).toThrow(
      'Cannot publish port 8080/tcp of the host twice: to port 80 and to port 81 of the guest',
    )
  })

  it('refuses more than a guest may have', () => {
    expect(() => combinePorts(parsePublished('1-4097'))).toThrow(
      'Cannot publish 4097 ports of one guest: 4096 are the most',
    )
  })
})
