import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { closeDescriptor } from '../../sys/socket.ts'
import {
  addressBytes,
  echoFrame,
  etherFrame,
  guestFrame,
  icmpMessage,
  tcpFrame,
  tcpSegment,
  udpFrame,
} from '../frame/guest-frames.fixture.ts'
import { EngineHarness, seen, type TestGuest } from './engine-harness.fixture.ts'

const GATEWAY4 = '10.75.0.1'
const GATEWAY6 = 'fdd4:1476:6c7e::1'
const SYN = 2

let harness: EngineHarness
let guest: TestGuest

beforeEach(() => {
  harness = new EngineHarness()
  guest = harness.addGuest(3)
})

afterEach(() => {
  expect(harness.logged).toEqual([])
  for (const fd of harness.streams) closeDescriptor(fd)
  harness[Symbol.dispose]()
})

/** Options of every frame of this guest. */
const mine = () => ({ sourceMac: guest.mac })

function echo(source: string, destination: string, hopLimit = 64): Buffer {
  const frame = echoFrame(source, destination, Buffer.from('echo'), hopLimit)
  frame.set(guest.mac, 16)
  return frame
}

function icmps(frames: readonly Uint8Array[]): (string | undefined)[] {
  return frames.map((frame) => seen(frame).icmp)
}

describe('the dispatcher', () => {
  it('answers pings of the gateway in both families, from the address that was asked', () => {
    for (const [source, destination] of [
      [guest.ipv4, GATEWAY4],
      [guest.ipv6, GATEWAY6],
      [guest.ipv6, 'fe80::1'],
      ['fe80::216:3eff:fe00:3', 'fe80::1'],
      ['fe80::216:3eff:fe00:3', GATEWAY6],
    ] as const) {
      const [answer, ...others] = guest.send(echo(source, destination))
      expect(others).toEqual([])
      if (answer === undefined) throw new Error(`No answer to ${source} from ${destination}`)
      const packet = seen(answer)
      expect(packet).toMatchObject({
        icmp: source.includes(':') ? '129/0' : '0/0',
        source: destination,
        destination: source,
      })
      expect(packet.transport.subarray(8).toString()).toBe('echo')
    }
    expect(guest.drops).toEqual({})
  })

  it('counts frames and bytes from the Ethernet header on, both ways', () => {
    const before = harness.engine.stats().guests[0]
    const frame = echo(guest.ipv4, GATEWAY4)
    guest.send(frame)
    const after = harness.engine.stats().guests[0]
    expect((after?.outBytes ?? 0) - (before?.outBytes ?? 0)).toBe(frame.length - 10)
    expect((after?.inBytes ?? 0) - (before?.inBytes ?? 0)).toBe(frame.length - 10)
    expect((after?.outFrames ?? 0) - (before?.outFrames ?? 0)).toBe(1)
  })

  it.each([
    ['a foreign MAC', (own: TestGuest) => echoFrame(own.ipv4, GATEWAY4)],
    ['a foreign IPv4 source', (own: TestGuest) => change(own, echoFrame('10.75.1.4', GATEWAY4))],
    ['the gateway’s own address', (own: TestGuest) => change(own, echoFrame(GATEWAY4, GATEWAY4))],
    [
      'a foreign IPv6 source',
      (own: TestGuest) => change(own, echoFrame('fdd4:1476:6c7e::a4b:104', GATEWAY6)),
    ],
    ['no source', (own: TestGuest) => change(own, echoFrame('0.0.0.0', GATEWAY4))],
    ['no IPv6 source', (own: TestGuest) => change(own, echoFrame('::', GATEWAY6))],
    [
      'a link-local source for the world',
      (own: TestGuest) => change(own, echoFrame('fe80::5', '2001:db8::1')),
    ],
    ['a link-local source of TCP', (own: TestGuest) => linkLocalSyn(own)],
    ['a multicast source', (own: TestGuest) => change(own, echoFrame('224.0.0.1', GATEWAY4))],
  ])('is silent to %s', (_, frameOf) => {
    expect(guest.send(frameOf(guest))).toEqual([])
    expect(guest.drops).toEqual({ 'spoofed-source': 1 })
  })

  it('carries nothing that is not to the gateway’s MAC', () => {
    const frame = echo(guest.ipv4, GATEWAY4)
    frame.set([0, 0x16, 0x3e, 0, 0, 9], 10)
    expect(guest.send(frame)).toEqual([])
    expect(guest.drops).toEqual({ 'foreign-mac': 1 })
  })

  it('verifies checksums that nobody vouches for, and no others', () => {
    const frame = echo(guest.ipv4, GATEWAY4)
    frame[50] = (frame[50] ?? 0) ^ 1
    expect(guest.send(frame)).toEqual([])
    frame[0] = 2
    expect(icmps(guest.send(frame))).toEqual(['0/0'])
    expect(guest.drops).toEqual({ 'bad-checksum': 1 })
  })

  it('says at once that a guest does not exist, that time is over, that a protocol is not carried', () => {
    expect(icmps(guest.send(echo(guest.ipv4, '10.75.200.9')))).toEqual(['3/1'])
    expect(icmps(guest.send(echo(guest.ipv6, 'fdd4:1476:6c7e::77')))).toEqual(['1/3'])
    expect(icmps(guest.send(echo(guest.ipv4, '192.0.2.1', 1)))).toEqual(['11/0'])
    expect(icmps(guest.send(echo(guest.ipv6, '2001:db8::1', 1)))).toEqual(['3/0'])
    const sctp = { protocol: 132, payload: Buffer.alloc(20), ...mine() }
    expect(icmps(guest.send(guestFrame({ source: guest.ipv4, destination: '192.0.2.1', ...sctp })))).toEqual([
      '3/2',
    ])
    expect(icmps(guest.send(guestFrame({ source: guest.ipv6, destination: GATEWAY6, ...sctp })))).toEqual([
      '4/1',
    ])
    expect(guest.drops).toEqual({ 'no-such-guest': 2, 'hop-limit': 2, 'unknown-protocol': 2 })
  })

  it('needs no hop beyond the gateway to reach it', () => {
    expect(icmps(guest.send(echo(guest.ipv4, GATEWAY4, 1)))).toEqual(['0/0'])
  })

  it.each(['127.0.0.1', '0.0.0.1', '169.254.169.254', '::1', 'fe80::9', '64:ff9b::7f00:1'])(
    'reaches nothing at %s, whatever the protocol',
    (destination) => {
      const isIpv6 = destination.includes(':')
      const source = isIpv6 ? guest.ipv6 : guest.ipv4
      const ends = { source, destination, sourcePort: 4000, destinationPort: 80 }
      const before = harness.engine.stats().flows
      const [reset] = guest.send(tcpFrame({ ...ends, flags: SYN }, mine()))
      expect(reset === undefined ? undefined : seen(reset).transport[13]).toBe(0x14)
      expect(icmps(guest.send(udpFrame(ends, Buffer.from('x'), mine())))).toEqual([isIpv6 ? '1/1' : '3/13'])
      expect(icmps(guest.send(echo(source, destination)))).toEqual([isIpv6 ? '1/1' : '3/13'])
      expect(harness.engine.stats().flows).toBe(before)
      expect(guest.drops).toEqual({ 'closed-range': 3 })
    },
  )

  it('takes no IPv4 address in an IPv6 header', () => {
    for (const destination of ['::ffff:192.0.2.1', '::ffff:10.75.0.1', '::ffff:10.75.1.4'])
      expect(guest.send(echo(guest.ipv6, destination))).toEqual([])
    expect(guest.send(echo(`::ffff:${guest.ipv4}`, GATEWAY6))).toEqual([])
    expect(guest.drops).toEqual({ 'closed-range': 4 })
  })

  it('drops multicast and broadcast without a word', () => {
    for (const destination of ['224.0.0.251', '255.255.255.255', '10.75.255.255', 'ff02::fb', 'ff05::2']) {
      const source = destination.includes(':') ? guest.ipv6 : guest.ipv4
      const ends = { source, destination, sourcePort: 5353, destinationPort: 5353 }
      const frame = udpFrame(ends, Buffer.from('x'), mine())
      frame.set([0x33, 0x33], 10)
      expect(guest.send(frame)).toEqual([])
    }
    expect(guest.drops).toEqual({ multicast: 5 })
  })

  it('lets a foreign guest choose its IPv6 address, and nobody take another’s', () => {
    const foreign = harness.addGuest(7, { configuration: 'foreign' })
    const own = 'fdd4:1476:6c7e:0:216:3eff:fe00:7'
    const from = (from: TestGuest, source: string, destination: string) => {
      const frame = echoFrame(source, destination)
      frame.set(from.mac, 16)
      return from.send(frame).map((bytes) => seen(bytes).destination)
    }
    expect(from(guest, own, GATEWAY6)).toEqual([])
    expect(from(foreign, own, GATEWAY6)).toEqual([own])
    expect(from(guest, guest.ipv6, own)).toEqual([])
    expect(foreign.take().map((bytes) => seen(bytes).destination)).toEqual([own])
    expect(from(foreign, guest.ipv6, GATEWAY6)).toEqual([])
    expect(from(foreign, 'fdd4:1476:6c7e::a4b:109', GATEWAY6)).toEqual([])
    expect(from(foreign, '2001:db8::7', GATEWAY6)).toEqual([])
    const second = harness.addGuest(8, { configuration: 'foreign' })
    expect(from(second, own, GATEWAY6)).toEqual([])
    expect(second.drops).toEqual({ 'spoofed-source': 1 })
    expect(foreign.drops).toEqual({ 'spoofed-source': 3 })
  })

  it('counts what a host tells groups of its wire as what it is', () => {
    const ends = { source: 'fe80::5', destination: 'ff02::fb', sourcePort: 5353, destinationPort: 5353 }
    const frame = udpFrame(ends, Buffer.from('x'), mine())
    frame.set([0x33, 0x33], 10)
    expect(guest.send(frame)).toEqual([])
    expect(guest.drops).toEqual({ multicast: 1 })
  })

  it('hears reports of multicast groups and says nothing', () => {
    const report = icmpMessage('::', 'ff02::16', 143, 0, Buffer.alloc(4))
    const extension = { type: 0, bytes: Buffer.of(58, 0, 5, 2, 0, 0, 1, 0) }
    const options = { source: '::', destination: 'ff02::16', protocol: 58, hopLimit: 1, extension }
    expect(guest.send(guestFrame({ ...options, payload: report, ...mine() }))).toEqual([])
    expect(guest.drops).toEqual({})
  })

  it('answers ARP for the gateway, and believes no claim', () => {
    const arp = (sender: string, target: string, operation = 1) => {
      const packet = Buffer.alloc(28)
      packet.writeUInt16BE(1, 0)
      packet.writeUInt16BE(0x0800, 2)
      packet.set([6, 4, 0, operation], 4)
      packet.set(guest.mac, 8)
      packet.set(addressBytes(sender), 14)
      packet.set(addressBytes(target), 24)
      return etherFrame(0x0806, packet, { ...mine(), destinationMac: new Uint8Array(6).fill(255) })
    }
    const [answer] = guest.send(arp(guest.ipv4, GATEWAY4))
    expect(Buffer.from(answer ?? []).subarray(24 + 8, 24 + 18)).toEqual(
      Buffer.concat([Buffer.of(2, 0x42, 0x4b, 0, 0, 1), addressBytes(GATEWAY4)]),
    )
    expect(guest.send(arp(GATEWAY4, GATEWAY4, 2))).toEqual([])
    expect(guest.send(arp('10.75.1.9', '10.75.1.9'))).toEqual([])
    expect(guest.drops).toEqual({ 'gateway-lie': 2 })
  })

  it('lets nobody else be a router', () => {
    const advertisement = icmpMessage('fe80::5', 'ff02::1', 134, 0, Buffer.alloc(12))
    const options = { source: 'fe80::5', destination: 'ff02::1', protocol: 58, hopLimit: 255, ...mine() }
    const frame = guestFrame({ ...options, payload: advertisement })
    frame.set([0x33, 0x33, 0, 0, 0, 1], 10)
    expect(guest.send(frame)).toEqual([])
    const redirect = icmpMessage(guest.ipv4, '192.0.2.1', 5, 0, Buffer.alloc(4))
    expect(
      guest.send(
        guestFrame({
          source: guest.ipv4,
          destination: '192.0.2.1',
          protocol: 1,
          payload: redirect,
          ...mine(),
        }),
      ),
    ).toEqual([])
    expect(guest.drops).toEqual({ 'gateway-lie': 2 })
  })

  it('puts fragments together before anybody sees them', () => {
    const data = Buffer.alloc(3_000, 'ping of many parts')
    const whole = echoFrame(guest.ipv4, GATEWAY4, data).subarray(44)
    const part = (from: number, to: number) =>
      guestFrame({
        source: guest.ipv4,
        destination: GATEWAY4,
        protocol: 1,
        identification: 9,
        fragment: (from >> 3) | (to < whole.length ? 0x2000 : 0),
        payload: whole.subarray(from, to),
        ...mine(),
      })
    expect(guest.send(part(1480, 2960), part(0, 1480))).toEqual([])
    const answers = guest.send(part(2960, whole.length))
    expect(answers.length).toBe(3)
    expect(guest.drops).toEqual({})
  })

  it('hands questions to the gateway’s port 53 on, and its connections', () => {
    const ends = { source: guest.ipv4, destination: GATEWAY4, sourcePort: 4000, destinationPort: 53 }
    expect(guest.send(udpFrame(ends, Buffer.from('question'), mine()))).toEqual([])
    expect(
      harness.questions.map(({ guestPort, question }) => [guestPort, Buffer.from(question).toString()]),
    ).toEqual([[4000, 'question']])
    harness.engine.answerDns('guest-3', 4000, false, Buffer.from('answer'))
    const [answer] = guest.take()
    expect(answer === undefined ? '' : seen(answer).transport.subarray(8).toString()).toBe('answer')
    guest.send(tcpFrame({ ...ends, flags: SYN }, mine()))
    expect(harness.streams).toHaveLength(1)
    const [reset] = guest.send(tcpFrame({ ...ends, destinationPort: 54, flags: SYN }, mine()))
    expect(reset === undefined ? undefined : seen(reset).transport[13]).toBe(0x14)
  })

  it('drops a packet larger than the wire unless it is to be segmented', () => {
    const ends = { source: guest.ipv4, destination: GATEWAY4, sourcePort: 4000, destinationPort: 53 }
    expect(guest.send(udpFrame(ends, Buffer.alloc(1_473), mine()))).toEqual([])
    expect(guest.drops).toEqual({ oversized: 1 })
    const segment = tcpSegment({ ...ends, flags: 16, data: Buffer.alloc(20_000) })
    const virtio = {
      flags: 1,
      gsoType: 1,
      gsoSize: 1460,
      headerLength: 54,
      checksumStart: 34,
      checksumOffset: 16,
    }
    const [reset] = guest.send(guestFrame({ ...ends, protocol: 6, payload: segment, virtio, ...mine() }))
    expect(reset === undefined ? undefined : seen(reset).protocol).toBe(6)
    expect(guest.drops).toEqual({ oversized: 1 })
  })
})

function change(own: TestGuest, frame: Buffer): Buffer {
  frame.set(own.mac, 16)
  return frame
}

function linkLocalSyn(own: TestGuest): Buffer {
  const ends = { source: 'fe80::5', destination: GATEWAY6, sourcePort: 4000, destinationPort: 53 }
  return tcpFrame({ ...ends, flags: SYN }, { sourceMac: own.mac })
}
