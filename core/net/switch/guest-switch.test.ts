import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { GuestMessage } from '../engine/messages.ts'
import {
  echoFrame,
  guestFrame,
  icmpMessage,
  slowChecksum,
  tcpFrame,
  tcpSegment,
  udpDatagram,
  udpFrame,
} from '../frame/guest-frames.fixture.ts'
import { EngineHarness, seen, type TestGuest } from '../packet/engine-harness.fixture.ts'

const SYN = 2
const ACK = 16

let harness: EngineHarness
let one: TestGuest
let other: TestGuest

beforeEach(() => {
  harness = new EngineHarness()
  one = harness.addGuest(3)
  other = harness.addGuest(4)
})

afterEach(() => {
  expect(harness.logged).toEqual([])
  harness[Symbol.dispose]()
})

function ends(from: TestGuest, to: TestGuest, sourcePort: number, destinationPort: number, isIpv6 = false) {
  return {
    source: isIpv6 ? from.ipv6 : from.ipv4,
    destination: isIpv6 ? to.ipv6 : to.ipv4,
    sourcePort,
    destinationPort,
  }
}

/** Replaces a guest by one that may do other things. */
function change(guest: TestGuest, options: Partial<GuestMessage>): void {
  harness.engine.updateGuest({ ...guest.message, ...options })
}

function datagram(from: TestGuest, to: TestGuest, sourcePort: number, destinationPort: number): number {
  const frame = udpFrame(ends(from, to, sourcePort, destinationPort), Buffer.from('hello'), {
    sourceMac: from.mac,
  })
  to.take()
  from.send(frame)
  return to.take().length
}

describe('the switch', () => {
  it('carries a packet one hop: MACs and hop limit are new, everything else is as it was', () => {
    for (const isIpv6 of [false, true]) {
      const frame = udpFrame(ends(one, other, 4000, 53, isIpv6), Buffer.from('hello'), {
        sourceMac: one.mac,
        hopLimit: 33,
      })
      expect(one.send(frame)).toEqual([])
      const [carried, ...others] = other.take().map((bytes) => Buffer.from(bytes))
      expect(others).toEqual([])
      expect(carried?.subarray(10, 22)).toEqual(Buffer.concat([other.mac, Buffer.of(2, 0x42, 0x4b, 0, 0, 1)]))
      expect(carried?.subarray(isIpv6 ? 64 : 44)).toEqual(frame.subarray(isIpv6 ? 64 : 44))
      expect(seen(carried ?? Buffer.alloc(0))).toMatchObject({
        hopLimit: 32,
        source: isIpv6 ? one.ipv6 : one.ipv4,
        destination: isIpv6 ? other.ipv6 : other.ipv4,
      })
      // seen() has verified the sum of IPv4 with the parser; here it is said slowly.
      if (!isIpv6) expect(slowChecksum(carried?.subarray(24, 44) ?? Buffer.alloc(20))).toBe(0)
    }
  })

  it('carries a frame to be segmented whole, with its checksum open', () => {
    const segment = tcpSegment({ ...ends(one, other, 4000, 80), flags: ACK, data: Buffer.alloc(30_000, 7) })
    segment.writeUInt16BE(0x1234, 16)
    const virtio = {
      flags: 1,
      gsoType: 1,
      gsoSize: 1460,
      headerLength: 54,
      checksumStart: 34,
      checksumOffset: 16,
    }
    const frame = guestFrame({
      ...ends(one, other, 0, 0),
      protocol: 6,
      payload: segment,
      virtio,
      sourceMac: one.mac,
    })
    one.send(frame)
    const [carried] = other.take().map((bytes) => Buffer.from(bytes))
    expect(carried?.subarray(0, 10)).toEqual(frame.subarray(0, 10))
    expect(carried?.subarray(44)).toEqual(segment)
  })

  it('does not hand one guest’s word on checksums to the other', () => {
    const frame = udpFrame(ends(one, other, 4000, 53), Buffer.from('hello'), {
      sourceMac: one.mac,
      virtio: { flags: 2 },
    })
    one.send(frame)
    expect(other.take()[0]?.[0]).toBe(0)
  })

  it('cuts the padding of Ethernet off', () => {
    const frame = udpFrame(ends(one, other, 4000, 53), Buffer.from('hello'), { sourceMac: one.mac })
    one.send(Buffer.concat([frame, Buffer.from('secret of a small frame')]))
    expect(other.take()[0]?.length).toBe(frame.length)
  })

  it('says that a packet is too big for a guest with a smaller wire', () => {
    const small = harness.addGuest(5, { mtu: 1280 })
    const large = udpFrame(ends(one, small, 4000, 53, true), Buffer.alloc(1_300), { sourceMac: one.mac })
    const [tooBig] = one.send(large)
    const packet = seen(tooBig ?? Buffer.alloc(0))
    expect(packet.icmp).toBe('2/0')
    expect(packet.transport.readUInt32BE(4)).toBe(1280)
    const segment = tcpSegment({ ...ends(one, small, 4000, 80), flags: ACK, data: Buffer.alloc(9_000) })
    const virtio = {
      flags: 1,
      gsoType: 1,
      gsoSize: 1460,
      headerLength: 54,
      checksumStart: 34,
      checksumOffset: 16,
    }
    const frame = (gsoSize: number) =>
      guestFrame({
        ...ends(one, small, 0, 0),
        protocol: 6,
        payload: segment,
        virtio: { ...virtio, gsoSize },
        sourceMac: one.mac,
      })
    expect(one.send(frame(1460)).map((bytes) => seen(bytes).icmp)).toEqual(['3/4'])
    expect(one.send(frame(1240))).toEqual([])
    expect(small.take()).toHaveLength(1)
    expect(one.drops).toEqual({ oversized: 2 })
  })

  it('is closed to a guest that may not meet others, from both sides', () => {
    change(other, { guests: false })
    for (const [from, to] of [
      [one, other],
      [other, one],
    ] as const) {
      const frame = echoFrame(from.ipv4, to.ipv4)
      frame.set(from.mac, 16)
      expect(from.send(frame).map((bytes) => seen(bytes).icmp)).toEqual(['3/13'])
      expect(to.take()).toEqual([])
      expect(from.drops).toEqual({ 'guest-to-guest': 1 })
    }
  })

  it('asks the rules of whoever opens a flow, and lets answers pass', () => {
    change(one, { policy: [{ action: 'deny', range: '10.75.1.0/24', protocol: 'tcp', ports: [80, 80] }] })
    const syn = (
      from: TestGuest,
      to: TestGuest,
      sourcePort: number,
      destinationPort: number,
      flags = SYN,
    ) => {
      from.send(tcpFrame({ ...ends(from, to, sourcePort, destinationPort), flags }, { sourceMac: from.mac }))
      return to.take().length
    }
    expect(syn(one, other, 4000, 80)).toBe(0)
    expect(syn(one, other, 4000, 81)).toBe(1)
    expect(syn(other, one, 80, 80)).toBe(1)
    expect(syn(one, other, 80, 80, SYN | ACK)).toBe(1)
    expect(one.drops).toEqual({ policy: 1 })
  })

  it('lets a guest that may ask nobody answer datagrams, and only those that were asked, for a while', () => {
    change(one, { policy: [{ action: 'deny', range: 'any' }] })
    expect(datagram(one, other, 53, 4000)).toBe(0)
    expect(datagram(other, one, 4000, 53)).toBe(1)
    expect(datagram(one, other, 53, 4000)).toBe(1)
    expect(datagram(one, other, 53, 4001)).toBe(0)
    expect(datagram(one, other, 54, 4000)).toBe(0)
    harness.pass(170_000)
    expect(datagram(other, one, 4000, 53)).toBe(1)
    harness.pass(170_000)
    expect(datagram(one, other, 53, 4000)).toBe(1)
    harness.pass(11_000)
    expect(datagram(one, other, 53, 4000)).toBe(0)
  })

  it('lets pings be answered by a guest that may not ping', () => {
    change(one, { policy: [{ action: 'deny', range: 'any', protocol: 'icmp' }] })
    const ping = (from: TestGuest, to: TestGuest, type: number) => {
      const payload = icmpMessage(from.ipv4, to.ipv4, type, 0, Buffer.of(0, 1, 0, 1))
      from.send(
        guestFrame({ source: from.ipv4, destination: to.ipv4, protocol: 1, payload, sourceMac: from.mac }),
      )
      return to.take().length
    }
    expect(ping(one, other, 8)).toBe(0)
    expect(ping(other, one, 8)).toBe(1)
    expect(ping(one, other, 0)).toBe(1)
  })

  it('carries no words of routers and no answers of DHCP servers', () => {
    const advertisement = icmpMessage(one.ipv6, other.ipv6, 134, 0, Buffer.alloc(12))
    one.send(
      guestFrame({
        source: one.ipv6,
        destination: other.ipv6,
        protocol: 58,
        payload: advertisement,
        sourceMac: one.mac,
      }),
      udpFrame(ends(one, other, 67, 68), Buffer.alloc(300), { sourceMac: one.mac }),
    )
    expect(other.take()).toEqual([])
    expect(one.drops).toEqual({ 'gateway-lie': 2 })
  })

  it('sends a datagram that came in fragments on in fragments', () => {
    const data = Buffer.alloc(4_000, 'many parts')
    const whole = udpDatagram(ends(one, other, 4000, 53), data)
    const part = (from: number, to: number) =>
      guestFrame({
        ...ends(one, other, 0, 0),
        protocol: 17,
        identification: 9,
        fragment: (from >> 3) | (to < whole.length ? 0x2000 : 0),
        payload: whole.subarray(from, to),
        sourceMac: one.mac,
      })
    one.send(part(0, 1480), part(1480, 2960), part(2960, whole.length))
    const parts = other.take().map((bytes) => seen(bytes))
    expect(parts).toHaveLength(3)
    expect(Buffer.concat(parts.map(({ transport }) => transport))).toEqual(whole)
  })

  it('forgets a guest that has gone, and takes one that comes in its place', () => {
    harness.engine.removeGuest('guest-4')
    const frame = () => {
      const bytes = echoFrame(one.ipv4, '10.75.1.4')
      bytes.set(one.mac, 16)
      return bytes
    }
    expect(one.send(frame()).map((bytes) => seen(bytes).icmp)).toEqual(['3/1'])
    expect(other.device.isClosed).toBe(true)
    const again = harness.addGuest(4)
    expect(one.send(frame())).toEqual([])
    expect(again.take()).toHaveLength(1)
  })
})
