import { describe, expect, it } from 'vitest'
import { completeSettings } from '../../net/settings-schema.ts'
import { AddressBook } from './addresses.ts'

const idOf = (number: number) => number.toString(16).padStart(64, '0')
const book = (changes = {}) => new AddressBook(completeSettings(changes))

describe('AddressBook', () => {
  it('gives a guest the same addresses on every host', () => {
    expect(book().reserve(idOf(1))).toEqual(book().reserve(idOf(1)))
    expect(book().reserve(idOf(1))).not.toEqual(book().reserve(idOf(2)))
  })

  it('keeps the lowest and the highest addresses of the subnet free', () => {
    const addresses = book()
    for (let index = 0; index < 5000; index++) {
      const { mac, ipv4, ipv6 } = addresses.reserve(idOf(index))
      expect(mac).toMatch(/^00:16:3e(:[0-9a-f]{2}){3}$/)
      const [first, second, third, fourth] = ipv4.split('.').map(Number)
      expect([first, second]).toEqual([10, 75])
      expect(third).toBeGreaterThanOrEqual(1)
      expect(`${third}.${fourth}`).not.toBe('255.255')
      expect(ipv6).toMatch(/^fdd4:1476:6c7e::a4b:[0-9a-f]{1,4}$/)
      expect(addresses.fits({ mac, ipv4, ipv6 })).toBe(true)
    }
  })

  it('gives no address twice, until none is left, and again when one is free', () => {
    const addresses = book({ ipv4Subnet: '10.9.8.0/24', gatewayIpv4: '10.9.8.77' })
    const given = Array.from({ length: 252 }, (_, index) => addresses.reserve(idOf(index)))
    expect(new Set(given.map(({ ipv4 }) => ipv4)).size).toBe(252)
    expect(given.map(({ ipv4 }) => ipv4)).not.toContain('10.9.8.77')
    expect(() => addresses.reserve(idOf(999))).toThrow(/^Cannot give a guest an address: all 253 are taken/)
    addresses.release(idOf(7))
    expect(addresses.reserve(idOf(999)).ipv4).toBe(given[7]?.ipv4)
  })

  it('leaves what guests on disk have to them', () => {
    const wanted = book().reserve(idOf(1))
    const addresses = book()
    addresses.take(idOf(2), wanted)
    const other = addresses.reserve(idOf(1))
    expect(other.ipv4).not.toBe(wanted.ipv4)
    expect(other.mac).not.toBe(wanted.mac)
  })

  it('sees that addresses are of other subnets', () => {
    const addresses = book().reserve(idOf(1))
    expect(book({ ipv4Subnet: '10.76.0.0/16', gatewayIpv4: '10.76.0.1' }).fits(addresses)).toBe(false)
    expect(book({ ipv6Subnet: 'fd00:1::/48', gatewayIpv6: 'fd00:1::1' }).fits(addresses)).toBe(false)
  })
})

describe('completeSettings()', () => {
  it('changes what is named and nothing else', () => {
    const { mtu, limits, gatewayIpv4 } = completeSettings({ mtu: 1400, limits: { tcpFlows: 10 } })
    expect([mtu, limits.tcpFlows, limits.udpFlows, gatewayIpv4]).toEqual([1400, 10, 2048, '10.75.0.1'])
  })

  it.each([
    [[], /they are no object/],
    [{ mtuu: 1 }, /"": Unrecognized key: "mtuu"/],
    [{ mtu: 100 }, /"mtu": /],
    [{ limits: { tcpFlows: 0 } }, /"limits.tcpFlows": /],
    [{ limits: { other: 1 } }, /"limits": Unrecognized key/],
    [{ ipv4Subnet: '10.0.0.0/30', gatewayIpv4: '10.0.0.1' }, /30 leading bits, from 8 to 24/],
    [{ ipv4Subnet: '10.75.1.0/16' }, /has bits beyond the first 16/],
    [{ gatewayIpv4: '10.76.0.1' }, /"gatewayIpv4" 10.76.0.1 is not in 10.75.0.0\/16/],
    [{ gatewayIpv6: 'fdd4:1476:6c7e:1::1' }, /is not in the first \/64/],
    [{ gatewayMac: '02-42' }, /"gatewayMac": must be six pairs/],
  ])('refuses %j', (changes, reason) => {
    expect(() => completeSettings(changes)).toThrow(reason)
  })
})
