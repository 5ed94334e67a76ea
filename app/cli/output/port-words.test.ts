import { describe, expect, it } from 'vitest'
import type { PublishedPort } from '../../../core/api/methods.ts'
import { hostEnds, portLines, portsCell } from './port-words.ts'

const port = (change: Partial<PublishedPort>): PublishedPort => ({
  protocol: 'tcp',
  bind: '0.0.0.0',
  hostPort: 8080,
  guestPort: 80,
  ...change,
})

describe('hostEnds()', () => {
  it('are both loopback addresses where none was named', () => {
    expect(hostEnds(port({ bind: '' }))).toEqual(['127.0.0.1:8080', '[::1]:8080'])
    expect(hostEnds(port({ bind: '2001:db8::1' }))).toEqual(['[2001:db8::1]:8080'])
  })
})

describe('portLines()', () => {
  it('are sorted by the port of the guest', () => {
    const ports = [
      port({ guestPort: 443, hostPort: 1 }),
      port({ bind: '::' }),
      port({ guestPort: 53, protocol: 'udp' }),
      port({ guestPort: 53, bind: '' }),
    ]
    expect(portLines(ports)).toEqual([
      '53/tcp -> 127.0.0.1:8080',
      '53/tcp -> [::1]:8080',
      '53/udp -> 0.0.0.0:8080',
      '80/tcp -> [::]:8080',
      '443/tcp -> 0.0.0.0:1',
    ])
  })
})

describe('portsCell()', () => {
  it.each<[string, PublishedPort[]]>([
    ['', []],
    ['0.0.0.0:8080->80/tcp', [port({})]],
    ['127.0.0.1:8080->80/tcp, [::1]:8080->80/tcp', [port({ bind: '' })]],
    [
      '0.0.0.0:9000-9002->9000-9002/tcp',
      [9001, 9000, 9002].map((number) => port({ hostPort: number, guestPort: number })),
    ],
    [
      '127.0.0.1:81-82->1-2/udp, [::1]:81-82->1-2/udp',
      [1, 2].map((number) => port({ bind: '', protocol: 'udp', hostPort: 80 + number, guestPort: number })),
    ],
    [
      '0.0.0.0:81->1/tcp, 0.0.0.0:90->2/tcp',
      [port({ hostPort: 81, guestPort: 1 }), port({ hostPort: 90, guestPort: 2 })],
    ],
    [
      '0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp',
      (['udp', 'tcp'] as const).map((protocol) => port({ protocol, hostPort: 53, guestPort: 53 })),
    ],
  ])('says %j', (cell, ports) => {
    expect(portsCell(ports)).toBe(cell)
  })
})
