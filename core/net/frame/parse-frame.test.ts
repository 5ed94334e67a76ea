import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../seeded-random.fixture.ts'
import { parseAddress } from '../address.ts'
import { isTransportChecksumRight } from './checksum.ts'
import { Frame } from './frame.ts'
import {
  echoFrame,
  etherFrame,
  type FrameOptions,
  guestFrame,
  tcpFrame,
  tcpSegment,
  udpDatagram,
  udpFrame,
} from './guest-frames.fixture.ts'
import { parseFrame } from './parse-frame.ts'

const frame = new Frame()
const ipv4 = { source: '10.75.1.3', destination: '192.0.2.7', sourcePort: 4000, destinationPort: 80 }
const ipv6 = { ...ipv4, source: 'fdd4:1476:6c7e::a4b:103', destination: '2001:db8::7' }

function parse(bytes: Uint8Array): ReturnType<typeof parseFrame> {
  frame.buffer.bytes.fill(0xee)
  frame.buffer.bytes.set(bytes)
  return parseFrame(frame, bytes.length)
}

/** The frame with some bytes changed. */
function changed(bytes: Buffer, at: number, ...values: readonly number[]): Buffer {
  const copy = Buffer.from(bytes)
  copy.set(values, at)
  return copy
}

describe('parseFrame()', () => {
  it('reads IPv4 with options, and cuts the padding of Ethernet off', () => {
    const packet = guestFrame({
      ...ipv4,
      protocol: 17,
      hopLimit: 7,
      options: Uint8Array.of(1, 1, 1, 0),
      payload: udpDatagram(ipv4, Buffer.from('four')),
    })
    expect(parse(Buffer.concat([packet, Buffer.alloc(9)]))).toBeUndefined()
    expect(frame).toMatchObject({
      isIpv6: false,
      protocol: 17,
      hopLimit: 7,
      transport: 48,
      end: 60,
      transportBytes: 12,
      isFragment: false,
      source2: 0xffff,
      source3: parseAddress(ipv4.source)[3],
      destination3: parseAddress(ipv4.destination)[3],
    })
    expect(isTransportChecksumRight(frame)).toBe(true)
  })

  it('reads IPv6 behind extension headers', () => {
    const hopByHop = Buffer.of(60, 0, 5, 2, 0, 0, 1, 0)
    const destinationOptions = Buffer.of(6, 1, ...new Array<number>(14).fill(0))
    const bytes = guestFrame({
      ...ipv6,
      protocol: 6,
      payload: tcpSegment({ ...ipv6, flags: 2 }),
      extension: { type: 0, bytes: Buffer.concat([hopByHop, destinationOptions]) },
    })
    expect(parse(bytes)).toBeUndefined()
    expect(frame).toMatchObject({ isIpv6: true, protocol: 6, transport: 64 + 24, transportBytes: 20 })
    expect([frame.source0, frame.source1, frame.source2, frame.source3]).toEqual(parseAddress(ipv6.source))
    expect(isTransportChecksumRight(frame)).toBe(true)
  })

  it('tells fragments, and takes an atomic one for a whole packet (RFC 6946)', () => {
    const fragment = (field: number) =>
      guestFrame({
        ...ipv6,
        protocol: 17,
        payload: udpDatagram(ipv6, Buffer.alloc(8)),
        extension: { type: 44, bytes: Buffer.of(17, 0, field >> 8, field & 255, 0, 0, 1, 2) },
      })
    expect(parse(fragment(1))).toBeUndefined()
    expect(frame).toMatchObject({
      isFragment: true,
      hasMoreFragments: true,
      fragmentId: 0x102,
      transport: 72,
    })
    expect(parse(fragment(1480))).toBeUndefined()
    expect(frame).toMatchObject({ isFragment: true, hasMoreFragments: false, fragmentOffsetBytes: 1480 })
    expect(parse(fragment(0))).toBeUndefined()
    expect(frame).toMatchObject({ isFragment: false, protocol: 17, transportBytes: 16 })
    expect(
      parse(guestFrame({ ...ipv4, protocol: 17, payload: Buffer.alloc(4), fragment: 0x2005 })),
    ).toBeUndefined()
    expect(frame).toMatchObject({ isFragment: true, hasMoreFragments: true, fragmentOffsetBytes: 40 })
  })

  it('leaves nothing of the last frame in the next', () => {
    parse(guestFrame({ ...ipv4, protocol: 17, payload: Buffer.alloc(8), fragment: 0x2005 }))
    parse(etherFrame(0x0806, Buffer.alloc(28)))
    expect(frame).toMatchObject({ isFragment: false, isIpv6: false, protocol: 0, hasMoreFragments: false })
    expect(parse(echoFrame(ipv6.source, ipv6.destination))).toBeUndefined()
    expect(frame).toMatchObject({ isFragment: false, needsChecksum: false, gsoType: 0, gsoSizeBytes: 0 })
  })

  const udp = udpFrame(ipv4, Buffer.from('data'))
  const tcp6 = tcpFrame({ ...ipv6, flags: 2 })
  it.each([
    ['shorter than Ethernet', udp.subarray(0, 23), 'malformed'],
    ['shorter than its IPv4 header', udp.subarray(0, 43), 'malformed'],
    ['IPv4 of another version', changed(udp, 24, 0x55), 'malformed'],
    ['an IPv4 header of 16 bytes', changed(udp, 24, 0x44), 'malformed'],
    ['an IPv4 header longer than its packet', changed(udp, 24, 0x4f), 'malformed'],
    ['an IPv4 length of 0', changed(udp, 26, 0, 0), 'malformed'],
    ['an IPv4 length beyond the frame', changed(udp, 26, 0, 33), 'malformed'],
    ['an IPv4 header with a wrong sum', changed(udp, 32, 63), 'bad-checksum'],
    [
      'UDP shorter than its header',
      guestFrame({ ...ipv4, protocol: 17, payload: Buffer.alloc(7) }),
      'malformed',
    ],
    ['a UDP length of 7', changed(udp, 48, 0, 7), 'malformed'],
    ['a UDP length beyond the packet', changed(udp, 48, 0, 13), 'malformed'],
    [
      'TCP shorter than its header',
      guestFrame({ ...ipv4, protocol: 6, payload: Buffer.alloc(19) }),
      'malformed',
    ],
    ['a TCP data offset of 4', changed(tcp6, 64 + 12, 0x40), 'malformed'],
    ['a TCP data offset beyond the segment', changed(tcp6, 64 + 12, 0x60), 'malformed'],
    ['ICMP of 7 bytes', guestFrame({ ...ipv4, protocol: 1, payload: Buffer.alloc(7) }), 'malformed'],
    ['shorter than its IPv6 header', tcp6.subarray(0, 63), 'malformed'],
    ['IPv6 of another version', changed(tcp6, 24, 0x40), 'malformed'],
    ['an IPv6 length beyond the frame', changed(tcp6, 28, 0, 21), 'malformed'],
    ['ARP of 27 bytes', etherFrame(0x0806, Buffer.alloc(27)), 'malformed'],
    ['a VLAN tag', etherFrame(0x8100, Buffer.alloc(60)), 'unknown-ether-type'],
    ['a length where the type is', etherFrame(60, Buffer.alloc(60)), 'unknown-ether-type'],
  ] as const)('refuses %s', (_, bytes, reason) => {
    expect(parse(bytes)).toBe(reason)
  })

  it.each([
    ['a loose source route', [131, 7, 4, 192, 0, 2, 1, 0]],
    ['a strict source route', [1, 137, 7, 4, 192, 0, 2, 1]],
    ['an option of length 0', [7, 0, 0, 0]],
    ['an option of length 1', [7, 1, 0, 0]],
    ['an option beyond the header', [7, 5, 4, 0]],
    ['an option without a length', [1, 1, 1, 7]],
  ])('refuses IPv4 with %s', (_, options) => {
    const payload = udpDatagram(ipv4, Buffer.from('x'))
    expect(parse(guestFrame({ ...ipv4, protocol: 17, options: Uint8Array.from(options), payload }))).toBe(
      'malformed',
    )
    const alert = Uint8Array.of(148, 4, 0, 0)
    expect(parse(guestFrame({ ...ipv4, protocol: 17, options: alert, payload }))).toBeUndefined()
  })

  const extended = (type: number, bytes: Uint8Array): Buffer =>
    guestFrame({
      ...ipv6,
      protocol: 17,
      payload: udpDatagram(ipv6, Buffer.alloc(4)),
      extension: { type, bytes },
    })
  it.each([
    ['an extension header that ends beyond the packet', extended(60, Buffer.of(17, 9, 0, 0, 0, 0, 0, 0))],
    [
      'hop-by-hop options that are not the first',
      extended(60, Buffer.concat([Buffer.of(0, 0, 0, 0, 0, 0, 0, 0), Buffer.of(17, 0, 0, 0, 0, 0, 0, 0)])),
    ],
    ['a routing header with segments left', extended(43, Buffer.of(17, 0, 0, 1, 0, 0, 0, 0))],
    [
      'more extension headers than anybody needs',
      extended(
        60,
        Buffer.concat([
          ...new Array<Buffer>(8).fill(Buffer.of(60, 0, 0, 0, 0, 0, 0, 0)),
          Buffer.of(17, 0, 0, 0, 0, 0, 0, 0),
        ]),
      ),
    ],
  ] as const)('refuses %s', (_, bytes) => {
    expect(parse(bytes)).toBe('malformed')
  })

  const segment = tcpSegment({ ...ipv4, flags: 16, data: Buffer.alloc(3000) })
  const withVirtio = (virtio: FrameOptions['virtio'], options: Partial<FrameOptions> = {}): Buffer =>
    guestFrame({
      ...ipv4,
      protocol: 6,
      payload: segment,
      ...options,
      ...(virtio === undefined ? {} : { virtio }),
    })
  const honest = {
    flags: 1,
    gsoType: 1,
    gsoSize: 1460,
    headerLength: 54,
    checksumStart: 34,
    checksumOffset: 16,
  }

  it('believes an honest virtio-net header', () => {
    expect(parse(withVirtio(honest))).toBeUndefined()
    expect(frame).toMatchObject({ needsChecksum: true, gsoType: 1, gsoSizeBytes: 1460 })
    expect(parse(withVirtio({ ...honest, gsoType: 0x81 }))).toBeUndefined()
    expect(frame.gsoType).toBe(1)
    expect(parse(withVirtio({ flags: 2 }))).toBeUndefined()
    expect(frame).toMatchObject({ needsChecksum: false, isChecksumValid: true, gsoType: 0 })
  })

  it.each([
    ['a checksum that starts past the end', { ...honest, checksumStart: 0xfff0 }],
    ['a checksum that starts in the IP header', { ...honest, checksumStart: 30 }],
    ['a checksum field elsewhere', { ...honest, checksumOffset: 4 }],
    ['segments of 0 bytes', { ...honest, gsoSize: 0 }],
    ['segments larger than the frame', { ...honest, gsoSize: 9_000 }],
    ['headers longer than the frame', { ...honest, headerLength: 4_000 }],
    ['segments of IPv6 in IPv4', { ...honest, gsoType: 4 }],
    ['UDP segments of TCP', { ...honest, gsoType: 5 }],
    ['fragmentation, which nobody was offered', { ...honest, gsoType: 3 }],
    ['a kind of segments that does not exist', { ...honest, gsoType: 77 }],
  ] as const)('refuses a virtio-net header with %s', (_, virtio) => {
    expect(parse(withVirtio(virtio))).toBe('bad-offload')
  })

  it('refuses offloads of what cannot have them', () => {
    expect(parse(withVirtio(honest, { fragment: 0x2000 }))).toBe('bad-offload')
    const icmp = echoFrame(ipv4.source, ipv4.destination)
    expect(parse(changed(icmp, 0, 1, 0, 0, 0, 0, 0, 34, 0, 2, 0))).toBe('bad-offload')
    expect(parse(changed(etherFrame(0x0806, Buffer.alloc(28)), 0, 1))).toBe('bad-offload')
  })

  it('never reads or claims bytes beyond the frame, whatever was changed in it', () => {
    const random = new SeededRandom(3)
    const seeds = [udp, tcp6, withVirtio(honest), echoFrame(ipv6.source, ipv6.destination)]
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(seeds[random.below(seeds.length)] ?? udp).subarray(
        0,
        24 + random.below(3_000),
      )
      for (let change = random.below(6); change >= 0; change--)
        bytes[random.below(Math.min(bytes.length, 120))] = random.below(256)
      const dropped = parse(bytes)
      if (dropped !== undefined) continue
      expect(frame.end).toBeLessThanOrEqual(bytes.length)
      expect(frame.transport).toBeLessThanOrEqual(frame.end)
      isTransportChecksumRight(frame)
    }
  })
})

describe('isTransportChecksumRight()', () => {
  it.each([
    ['TCP', tcpFrame({ ...ipv4, flags: 24, data: Buffer.from('odd') }), 47],
    ['TCP over IPv6', tcpFrame({ ...ipv6, flags: 24, data: Buffer.from('odd') }), 66],
    ['UDP', udpFrame(ipv4, Buffer.from('data')), 53],
    ['UDP over IPv6', udpFrame(ipv6, Buffer.from('data')), 73],
    ['ICMP', echoFrame(ipv4.source, ipv4.destination), 49],
    ['ICMPv6', echoFrame(ipv6.source, ipv6.destination), 69],
  ] as const)('sees one wrong bit of %s', (_, bytes, at) => {
    parse(bytes)
    expect(isTransportChecksumRight(frame)).toBe(true)
    expect(parse(changed(Buffer.from(bytes), at, (bytes[at] ?? 0) ^ 1))).toBeUndefined()
    expect(isTransportChecksumRight(frame)).toBe(false)
  })

  it('takes a UDP checksum of 0 for none, in IPv4 alone', () => {
    parse(changed(udpFrame(ipv4, Buffer.from('data')), 50, 0, 0))
    expect(isTransportChecksumRight(frame)).toBe(true)
    parse(changed(udpFrame(ipv6, Buffer.from('data')), 70, 0, 0))
    expect(isTransportChecksumRight(frame)).toBe(false)
  })
})
