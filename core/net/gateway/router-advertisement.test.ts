import { describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { encodeDomainNames } from './domain-names.ts'
import { addressBytes, gateway, gatewayIpv6, guestWire, readPacket } from './guest-wire.fixture.ts'
import { writeRouterAdvertisement } from './router-advertisement.ts'

function advertise(configuration: 'static' | 'foreign', search: readonly string[]) {
  const { port } = guestWire({ configuration })
  const target = new PinnedBuffer(2048)
  target.bytes.fill(0xee)
  const length = writeRouterAdvertisement(target, port, gateway, encodeDomainNames(search))
  return readPacket(target.bytes.slice(0, length))
}

/** The options of an advertisement by type. */
function optionsOf(payload: Uint8Array): Map<number, number[]> {
  const options = new Map<number, number[]>()
  for (let at = 16; at < payload.length; ) {
    const bytes = (payload[at + 1] ?? 0) * 8
    expect(bytes).toBeGreaterThan(0)
    options.set(payload[at] ?? 0, [...payload.subarray(at, at + bytes)])
    at += bytes
  }
  return options
}

describe('a router advertisement', () => {
  it('says: this router for half an hour, hop limit 64, no DHCPv6', () => {
    const seen = advertise('static', [])
    expect(seen).toMatchObject({ from: 'fe80::1', to: 'ff02::1', hopLimit: 255 })
    const head = [...seen.payload.subarray(0, 16)]
    head[2] = 0
    head[3] = 0
    expect(head).toEqual([134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0])
  })

  it('carries link address, MTU, prefix, name server and search domains', () => {
    const options = optionsOf(advertise('static', ['example.org', 'lab.example.org']).payload)
    expect(options.get(1)).toEqual([1, 1, ...gateway.mac])
    expect(options.get(5)).toEqual([5, 1, 0, 0, 0, 0, 0x05, 0xdc])
    expect(options.get(3)).toEqual([
      ...[3, 4, 64, 0],
      ...[0, 1, 0x51, 0x80],
      ...[0, 0, 0x38, 0x40],
      ...[0, 0, 0, 0],
      ...addressBytes('fdd4:1476:6c7e::'),
    ])
    expect(options.get(25)).toEqual([25, 3, 0, 0, 0, 0, 7, 8, ...addressBytes(gatewayIpv6)])
    const names = Buffer.from(options.get(31) ?? [])
    expect(names.subarray(8).toString('latin1').replace(/\0+$/, '')).toBe(
      '\x07example\x03org\0\x03lab\x07example\x03org',
    )
  })

  it('asks foreign guests to make an address of the prefix, and ours not', () => {
    expect(optionsOf(advertise('foreign', []).payload).get(3)?.[3]).toBe(0x40)
    expect(optionsOf(advertise('static', []).payload).get(3)?.[3]).toBe(0)
  })

  it('leaves names out that no packet could carry', () => {
    const many = Array.from({ length: 40 }, (_, index) => `domain-${index}.${'x'.repeat(50)}.example`)
    const seen = advertise('static', many)
    expect(optionsOf(seen.payload).has(31)).toBe(false)
    expect(encodeDomainNames(['ok.example', 'x'.repeat(64), 'not ok', 'a..b', ''])).toEqual(
      encodeDomainNames(['ok.example.']),
    )
  })
})
