import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAddress } from '../address.ts'
import {
  echoRequest,
  gateway,
  gatewayIpv4,
  gatewayIpv6,
  guestIpv4,
  guestIpv6,
  guestWire,
  icmpMessage,
  ipFrame,
  readPacket,
  received,
  type SeenPacket,
  udpDatagram,
} from '../gateway/guest-wire.fixture.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { IcmpErrorSender } from './icmp-error-sender.ts'
import type { IcmpErrorKind, QuotedPacket } from './icmp-errors.ts'

let nowMs = 1_000
let loop: PacketLoop
let icmp: IcmpErrorSender
const { port, device } = guestWire()

beforeEach(() => {
  nowMs = 1_000
  loop = new PacketLoop({ clock: () => nowMs })
  icmp = new IcmpErrorSender(loop, gateway, 1_000)
  device.frames.length = 0
})

afterEach(() => loop[Symbol.dispose]())

const sent = (): SeenPacket[] => device.frames.splice(0).map(readPacket)

function answer(raw: Uint8Array, kind: IcmpErrorKind = 'port-unreachable', mtu?: number): SeenPacket[] {
  icmp.answer(port, received(raw), kind, mtu)
  return sent()
}

const udpTo = (to: string, bytes = 10): Uint8Array =>
  ipFrame({
    to,
    protocol: 17,
    payload: udpDatagram(to.includes(':') ? guestIpv6 : guestIpv4, to, 4000, 5000, new Uint8Array(bytes)),
  })

describe('an ICMP error about a frame', () => {
  it('has the type and code of its kind and family', () => {
    const kinds: Record<IcmpErrorKind, [number, number, number, number]> = {
      'network-unreachable': [3, 0, 1, 0],
      'host-unreachable': [3, 1, 1, 3],
      'protocol-unreachable': [3, 2, 4, 1],
      'port-unreachable': [3, 3, 1, 4],
      prohibited: [3, 13, 1, 1],
      'too-big': [3, 4, 2, 0],
      'hop-limit': [11, 0, 3, 0],
      'reassembly-time': [11, 1, 3, 1],
    }
    for (const [kind, codes] of Object.entries(kinds)) {
      const [one] = answer(udpTo('192.0.2.1'), kind as IcmpErrorKind)
      const [other] = answer(udpTo('2001:db8::1'), kind as IcmpErrorKind)
      expect([...(one?.payload.subarray(0, 2) ?? []), ...(other?.payload.subarray(0, 2) ?? [])]).toEqual(
        codes,
      )
    }
  })

  it('comes from the gateway and quotes the packet as it was sent', () => {
    const raw = udpTo('192.0.2.1')
    const [seen] = answer(raw)
    expect(seen).toMatchObject({ from: gatewayIpv4, to: guestIpv4, protocol: 1 })
    expect([...(seen?.payload.subarray(8) ?? [])]).toEqual([...raw.subarray(24)])
    const raw6 = udpTo('2001:db8::1')
    const [seen6] = answer(raw6)
    expect(seen6).toMatchObject({ from: gatewayIpv6, to: guestIpv6, protocol: 58 })
    expect([...(seen6?.payload.subarray(8) ?? [])]).toEqual([...raw6.subarray(24)])
  })

  it('quotes no more than a packet of any network holds', () => {
    const [seen] = answer(udpTo('192.0.2.1', 1_400))
    expect(20 + (seen?.payload.length ?? 0)).toBe(576)
    const [seen6] = answer(udpTo('2001:db8::1', 1_400))
    expect(40 + (seen6?.payload.length ?? 0)).toBe(1_280)
  })

  it('tells the MTU', () => {
    const mtuOf = (seen: SeenPacket | undefined) =>
      seen && new DataView(seen.payload.buffer, seen.payload.byteOffset).getUint32(4)
    expect(mtuOf(answer(udpTo('192.0.2.1'), 'too-big', 1_400)[0])).toBe(1_400)
    expect(mtuOf(answer(udpTo('2001:db8::1'), 'too-big', 1_400)[0])).toBe(1_400)
  })

  it('is never about an ICMP error, a later fragment, or what went to many or came from nobody', () => {
    const error = (type: number, to: string) => {
      const from = to.includes(':') ? guestIpv6 : guestIpv4
      const payload = icmpMessage(from, to, Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0))
      return ipFrame({ to, protocol: to.includes(':') ? 58 : 1, payload })
    }
    for (const type of [3, 4, 5, 11, 12]) expect(answer(error(type, '192.0.2.1'))).toHaveLength(0)
    for (const type of [1, 2, 3, 4, 100]) expect(answer(error(type, '2001:db8::1'))).toHaveLength(0)
    const fragment = { offsetBytes: 800, more: true, id: 1 }
    for (const to of ['192.0.2.1', '2001:db8::1'])
      expect(answer(ipFrame({ to, protocol: 17, fragment, payload: new Uint8Array(80) }))).toHaveLength(0)
    for (const to of ['224.0.0.1', '255.255.255.255', 'ff02::1']) expect(answer(udpTo(to))).toHaveLength(0)
    for (const from of ['0.0.0.0', '224.0.0.1'])
      expect(
        answer(
          ipFrame({ from, to: '192.0.2.1', protocol: 17, payload: new Uint8Array([0, 0, 0, 0, 0, 8, 0, 0]) }),
        ),
      ).toHaveLength(0)
    expect(
      answer(
        ipFrame({
          from: '::',
          to: '2001:db8::1',
          protocol: 17,
          payload: new Uint8Array([0, 0, 0, 0, 0, 8, 0, 0]),
        }),
      ),
    ).toHaveLength(0)
  })

  it('may be about a ping, and about a first fragment', () => {
    const ping = ipFrame({ to: '192.0.2.1', protocol: 1, payload: echoRequest(guestIpv4, '192.0.2.1', 1, 1) })
    expect(answer(ping)).toHaveLength(1)
    const fragment = { offsetBytes: 0, more: true, id: 1 }
    expect(
      answer(ipFrame({ to: '192.0.2.1', protocol: 17, fragment, payload: new Uint8Array(80) })),
    ).toHaveLength(1)
  })

  it('goes to a link-local guest from its link-local neighbour', () => {
    const from = 'fe80::216:3eff:fe01:203'
    const payload = udpDatagram(from, gatewayIpv6, 1, 2, new Uint8Array(4))
    expect(answer(ipFrame({ from, to: gatewayIpv6, protocol: 17, payload }))).toMatchObject([
      { from: 'fe80::1', to: from },
    ])
  })

  it('is sent no more often than allowed, for each guest on its own', () => {
    icmp = new IcmpErrorSender(loop, gateway, 3)
    for (let count = 0; count < 5; count++) icmp.answer(port, received(udpTo('192.0.2.1')), 'prohibited')
    expect(sent()).toHaveLength(3)
    const other = guestWire()
    icmp.answer(other.port, received(udpTo('192.0.2.1')), 'prohibited')
    expect(other.device.frames).toHaveLength(1)
    nowMs += 1_000
    loop.turn(0)
    icmp.answer(port, received(udpTo('192.0.2.1')), 'prohibited')
    expect(sent()).toHaveLength(1)
  })
})

describe('an ICMP error about a packet of an earlier turn', () => {
  const quotedPacket = (to: string, protocol: number): QuotedPacket => {
    const [remote0, remote1, remote2, remote3] = parseAddress(to)
    return {
      remote0,
      remote1,
      remote2,
      remote3,
      protocol,
      guestPort: 4000,
      remotePort: 5000,
      sequence: 0x1020304,
    }
  }

  it('puts the packet’s head together: addresses, ports, the sequence number of TCP', () => {
    icmp.about(port, quotedPacket('192.0.2.1', 6), 'host-unreachable')
    const [seen] = sent()
    const quoted = Uint8Array.of(...new Uint8Array(22), 8, 0, ...(seen?.payload.subarray(8) ?? []))
    // Its header is read as right; TCP's checksum is none of the eight bytes.
    expect(() => readPacket(quoted)).toThrow('Wrong checksum of protocol 6')
    expect([...(seen?.payload.subarray(28) ?? [])]).toEqual([0x0f, 0xa0, 0x13, 0x88, 1, 2, 3, 4])
    icmp.about(port, quotedPacket('2001:db8::1', 17), 'port-unreachable')
    const [seen6] = sent()
    expect([...(seen6?.payload.subarray(48) ?? [])]).toEqual([0x0f, 0xa0, 0x13, 0x88, 0, 8, 0, 0])
  })

  it('comes from the router that said so', () => {
    const [word0, word1, word2, word3] = parseAddress('198.51.100.7')
    icmp.fromRouter(port, quotedPacket('192.0.2.1', 17), 11, 0, 0, word0, word1, word2, word3)
    expect(sent()).toMatchObject([{ from: '198.51.100.7', to: guestIpv4 }])
    const [a, b, c, d] = parseAddress('2001:db8:5::7')
    icmp.fromRouter(port, quotedPacket('2001:db8::1', 17), 3, 0, 0, a, b, c, d)
    expect(sent()).toMatchObject([{ from: '2001:db8:5::7', to: guestIpv6 }])
  })
})
