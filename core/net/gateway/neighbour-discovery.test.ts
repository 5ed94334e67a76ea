import { describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  addressBytes,
  gateway,
  gatewayIpv6,
  guestIpv6,
  guestMac,
  guestWire,
  icmpMessage,
  ipFrame,
  readPacket,
  received,
} from './guest-wire.fixture.ts'
import { announceByAdvertisement, answerSolicitation, neighbourFault } from './neighbour-discovery.ts'

const linkLocal = 'fe80::216:3eff:fe01:203'
const sourceLink = [1, 1, ...guestMac]

function message(
  type: number,
  body: readonly number[],
  options: { from?: string; to?: string; hopLimit?: number; code?: number } = {},
): Uint8Array {
  const { from = guestIpv6, to = 'ff02::1:ff00:1', hopLimit = 255, code = 0 } = options
  const payload = icmpMessage(from, to, Uint8Array.of(type, code, 0, 0, 0, 0, 0, 0, ...body))
  return ipFrame({ from, to, protocol: 58, hopLimit, payload })
}

const solicitation = (target: string, options?: Parameters<typeof message>[2], link = sourceLink) =>
  message(135, [...addressBytes(target), ...link], options)

describe('neighbour discovery on a guest’s wire', () => {
  const { port } = guestWire()
  const fault = (bytes: Uint8Array) => neighbourFault(port, received(bytes), gateway)
  const answer = (bytes: Uint8Array) => {
    const frame = received(bytes)
    expect(neighbourFault(port, frame, gateway)).toBeUndefined()
    const target = new PinnedBuffer(512)
    const length = answerSolicitation(port, frame, gateway, target)
    return length === 0 ? undefined : readPacket(target.bytes.slice(0, length))
  }

  it('advertises the gateway’s addresses: solicited, overriding, a router, with its MAC', () => {
    for (const target of [gatewayIpv6, 'fe80::1']) {
      const seen = answer(solicitation(target))
      expect(seen).toMatchObject({ from: target, to: guestIpv6, hopLimit: 255, protocol: 58 })
      expect([...(seen?.payload ?? [])].filter((_, index) => index !== 2 && index !== 3)).toEqual([
        ...[136, 0, 0xe0, 0, 0, 0],
        ...addressBytes(target),
        ...[2, 1],
        ...gateway.mac,
      ])
    }
  })

  it('answers a link-local guest at its link-local address', () => {
    expect(answer(solicitation('fe80::1', { from: linkLocal }))).toMatchObject({ to: linkLocal })
  })

  it('tells everybody on the wire when somebody looks whether the gateway’s address is free', () => {
    const seen = answer(solicitation(gatewayIpv6, { from: '::' }, []))
    expect(seen).toMatchObject({ to: 'ff02::1', destinationMac: '33:33:00:00:00:01' })
    expect(seen?.payload[4]).toBe(0xa0)
  })

  it('answers for other guests without being a router or overriding', () => {
    const seen = answer(solicitation('fdd4:1476:6c7e::a4b:909'))
    expect(seen?.from).toBe('fdd4:1476:6c7e::a4b:909')
    expect(seen?.payload[4]).toBe(0x40)
  })

  it('leaves alone what is the guest’s own, or nobody’s', () => {
    for (const target of [guestIpv6, linkLocal, '2001:db8::1', 'fdd4:1476:6c7e::216:3eff:fe01:203'])
      expect(answer(solicitation(target, { from: '::' }, []))).toBeUndefined()
  })

  it('takes advertisements of the guest’s own addresses alone', () => {
    const advertisement = (target: string) => message(136, [...addressBytes(target), 2, 1, ...guestMac])
    expect(fault(advertisement(guestIpv6))).toBeUndefined()
    expect(fault(advertisement(linkLocal))).toBeUndefined()
    for (const target of [gatewayIpv6, 'fe80::1', 'fdd4:1476:6c7e::a4b:909', '2001:db8::1'])
      expect(fault(advertisement(target))).toBe('gateway-lie')
  })

  it('calls router advertisements, redirects and other MACs lies', () => {
    expect(fault(message(134, new Array<number>(8).fill(0)))).toBe('gateway-lie')
    expect(fault(message(137, new Array<number>(32).fill(0)))).toBe('gateway-lie')
    expect(fault(solicitation(gatewayIpv6, {}, [1, 1, ...gateway.mac]))).toBe('gateway-lie')
  })

  it('refuses what has passed a router, is cut off, or has options without a length', () => {
    expect(fault(solicitation(gatewayIpv6, { hopLimit: 254 }))).toBe('malformed')
    expect(fault(solicitation(gatewayIpv6, { code: 1 }))).toBe('malformed')
    expect(fault(message(135, [...addressBytes(gatewayIpv6)].slice(0, 12)))).toBe('malformed')
    expect(fault(solicitation(gatewayIpv6, {}, [1, 0, 0, 0, 0, 0, 0, 0]))).toBe('malformed')
    expect(fault(solicitation(gatewayIpv6, {}, [1, 2, ...guestMac]))).toBe('malformed')
    expect(fault(solicitation(gatewayIpv6, {}, [1, 1, 0]))).toBe('malformed')
    expect(fault(solicitation(gatewayIpv6, { from: '::' }))).toBe('malformed')
    expect(fault(solicitation('ff02::1'))).toBe('malformed')
  })

  it('announces an address to all nodes', () => {
    const target = new PinnedBuffer(512)
    const length = announceByAdvertisement(port, gateway, gateway.ipv6, target)
    const seen = readPacket(target.bytes.slice(0, length))
    expect(seen).toMatchObject({ from: gatewayIpv6, to: 'ff02::1', hopLimit: 255 })
    expect(seen.payload[4]).toBe(0xa0)
  })
})
