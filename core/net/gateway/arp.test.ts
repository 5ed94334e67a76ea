import { describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { announceByArp, answerArp, arpFault } from './arp.ts'
import {
  addressBytes,
  ethernetFrame,
  gateway,
  gatewayIpv4,
  guestIpv4,
  guestMac,
  guestWire,
  received,
} from './guest-wire.fixture.ts'

const broadcast = new Uint8Array(6).fill(0xff)

function arp(
  operation: number,
  sender: string,
  target: string,
  options: { mac?: Uint8Array; destination?: Uint8Array } = {},
): Uint8Array {
  const { mac = guestMac, destination = broadcast } = options
  const head = [0, 1, 8, 0, 6, 4, 0, operation]
  const packet = Uint8Array.of(
    ...head,
    ...mac,
    ...addressBytes(sender),
    0,
    0,
    0,
    0,
    0,
    0,
    ...addressBytes(target),
  )
  return ethernetFrame(0x0806, packet, destination)
}

describe('ARP on a guest’s wire', () => {
  const { port } = guestWire()
  const answer = (bytes: Uint8Array) => {
    const target = new PinnedBuffer(256)
    const frame = received(bytes)
    expect(arpFault(port, frame)).toBeUndefined()
    return target.bytes.slice(0, answerArp(port, frame, gateway, target))
  }

  it('answers for the gateway, byte for byte as RFC 826 has it', () => {
    const reply = answer(arp(1, guestIpv4, gatewayIpv4))
    expect([...reply]).toEqual([
      ...new Uint8Array(10),
      ...guestMac,
      ...gateway.mac,
      0x08,
      0x06,
      ...[0, 1, 8, 0, 6, 4, 0, 2],
      ...gateway.mac,
      ...addressBytes(gatewayIpv4),
      ...guestMac,
      ...addressBytes(guestIpv4),
    ])
  })

  it('answers a request that was sent to its MAC alone, and one with no address in it', () => {
    expect(answer(arp(1, guestIpv4, gatewayIpv4, { destination: gateway.mac }))).toHaveLength(52)
    const probe = answer(arp(1, '0.0.0.0', gatewayIpv4))
    expect([...probe.subarray(48, 52)]).toEqual([0, 0, 0, 0])
  })

  it('answers for the other addresses of the subnet, and for no more', () => {
    const reply = answer(arp(1, guestIpv4, '10.75.9.9'))
    expect([...reply.subarray(32, 42)]).toEqual([...gateway.mac, 10, 75, 9, 9])
    for (const target of [guestIpv4, '10.75.0.0', '10.75.255.255', '10.76.0.1', '192.0.2.1'])
      expect(answer(arp(1, guestIpv4, target))).toHaveLength(0)
  })

  it('says nothing to replies, and to the guest that looks whether its own address is free', () => {
    expect(answer(arp(2, guestIpv4, gatewayIpv4))).toHaveLength(0)
    expect(answer(arp(1, '0.0.0.0', guestIpv4))).toHaveLength(0)
    expect(answer(arp(1, guestIpv4, guestIpv4))).toHaveLength(0)
  })

  it('calls a claim to another address or MAC a lie', () => {
    const fault = (bytes: Uint8Array) => arpFault(port, received(bytes))
    expect(fault(arp(1, gatewayIpv4, gatewayIpv4))).toBe('gateway-lie')
    expect(fault(arp(2, '10.75.9.9', guestIpv4))).toBe('gateway-lie')
    expect(fault(arp(2, '0.0.0.0', guestIpv4))).toBe('gateway-lie')
    expect(fault(arp(1, guestIpv4, gatewayIpv4, { mac: gateway.mac }))).toBe('gateway-lie')
  })

  it('takes no ARP of other networks, and none that is cut off', () => {
    const strange = arp(1, guestIpv4, gatewayIpv4)
    for (const at of [25, 26, 28, 29, 31]) {
      const changed = Uint8Array.from(strange)
      changed[at] = 0x77
      expect(arpFault(port, received(changed))).toBe('malformed')
    }
    expect(() => received(strange.subarray(0, 51))).toThrow('malformed')
  })

  it('announces the gateway', () => {
    const target = new PinnedBuffer(256)
    target.bytes.fill(0xee)
    const bytes = target.bytes.slice(0, announceByArp(port, gateway, target))
    const packet = [...bytes.subarray(24)]
    expect(packet.slice(0, 8)).toEqual([0, 1, 8, 0, 6, 4, 0, 1])
    expect(packet.slice(8, 18)).toEqual([...gateway.mac, ...addressBytes(gatewayIpv4)])
    expect(packet.slice(18)).toEqual([0, 0, 0, 0, 0, 0, ...addressBytes(gatewayIpv4)])
  })
})
