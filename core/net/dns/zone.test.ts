import { describe, expect, it } from 'vitest'
import { defaultSettings } from '../settings.ts'
import { readName } from './message.ts'
import { NAME_ERROR, NO_ERROR, REFUSED, TYPE_A, TYPE_AAAA, TYPE_ANY, TYPE_PTR, TYPE_SOA } from './protocol.ts'
import { type DnsGuest, GuestZone } from './zone.ts'

const IN = 1
const CHAOS = 3
const TYPE_MX = 15
const web = guest('web', 4)
const db = guest('db', 5)

function guest(name: string, number: number, mayMeetGuests = true): DnsGuest {
  const hex = number.toString(16).padStart(2, '0')
  const ipv6 = `fdd4:1476:6c7e::a4b:3${hex}`
  return { id: `id-${name}`, name, ipv4: `10.75.3.${number}`, ipv6, mayMeetGuests }
}

function zoneOf(guests: readonly DnsGuest[], settings = defaultSettings) {
  const zone = new GuestZone(settings)
  for (const each of guests) zone.setGuest(each)
  /** `undefined` goes upstream; otherwise the answer's data as text, or its error. */
  return (name: string, type = TYPE_A, asker = web.id, dnsClass = IN): string | undefined => {
    const answer = zone.answer({ name, type, class: dnsClass }, asker)
    if (answer === undefined) return undefined
    if (answer.rcode !== NO_ERROR) return `error ${answer.rcode}`
    return (answer.answers ?? []).map((record) => text(record.type, record.data)).join(' ')
  }
}

function text(type: number, data: Uint8Array): string {
  if (type === TYPE_A) return [...data].join('.')
  if (type === TYPE_AAAA) return Buffer.from(data).toString('hex')
  if (type === TYPE_SOA) return 'SOA'
  const message = Buffer.concat([Buffer.alloc(12), data])
  return readName(message, 12)?.text ?? 'broken'
}

describe('GuestZone', () => {
  const ask = zoneOf([web, db, guest('cache.web', 6), guest('host', 7), guest('a..b', 8), guest('x.', 9)])

  it('answers names of guests, whatever their case', () => {
    expect(ask('web.guest')).toBe('10.75.3.4')
    expect(ask('DB.GUEST', TYPE_AAAA)).toBe('fdd414766c7e0000000000000a4b0305')
    expect(ask('db.guest', TYPE_ANY)).toBe('10.75.3.5 fdd414766c7e0000000000000a4b0305')
    expect(ask('db.guest', TYPE_MX)).toBe('')
    expect(ask('nobody.guest')).toBe(`error ${NAME_ERROR}`)
    expect(ask('sub.web.guest')).toBe(`error ${NAME_ERROR}`)
  })

  it('answers a name of one label where a guest is called so, and no other', () => {
    expect(ask('web')).toBe('10.75.3.4')
    expect(ask('web', TYPE_MX)).toBe('')
    expect(ask('nobody')).toBeUndefined()
    expect(ask('')).toBeUndefined()
    expect(ask('web', TYPE_A, web.id, CHAOS)).toBeUndefined()
  })

  it('leaves to others what only looks like its zone', () => {
    expect(ask('web.guest.example')).toBeUndefined()
    expect(ask('myguest')).toBeUndefined()
    expect(ask('web.myguest')).toBeUndefined()
    expect(ask('web\\046guest')).toBeUndefined()
  })

  it('gives host.guest to the gateway, whoever is called "host"', () => {
    expect(ask('host.guest')).toBe('10.75.0.1')
    expect(ask('1.0.75.10.in-addr.arpa', TYPE_PTR)).toBe('host.guest')
    expect(ask('7.3.75.10.in-addr.arpa', TYPE_PTR)).toBe(`error ${NAME_ERROR}`)
  })

  it('knows guests whose name has dots, unless it is no name of DNS', () => {
    expect(ask('cache.web.guest')).toBe('10.75.3.6')
    expect(ask('a..b.guest')).toBe(`error ${NAME_ERROR}`)
    expect(ask('8.3.75.10.in-addr.arpa', TYPE_PTR)).toBe(`error ${NAME_ERROR}`)
    const only = zoneOf([guest('one.two', 4)])
    expect(only('two.guest')).toBe('')
    expect(only('three.guest')).toBe(`error ${NAME_ERROR}`)
  })

  it('answers the reverse tree within the subnets alone, and says of what lies above an address that it is there', () => {
    expect(ask('4.3.75.10.in-addr.arpa', TYPE_PTR)).toBe('web.guest')
    expect(ask('3.75.10.in-addr.arpa', TYPE_PTR)).toBe('')
    expect(ask('75.10.in-addr.arpa', TYPE_SOA)).toBe('SOA')
    expect(ask('9.9.75.10.in-addr.arpa', TYPE_PTR)).toBe(`error ${NAME_ERROR}`)
    for (const outside of [
      '10.in-addr.arpa',
      'in-addr.arpa',
      '4.3.76.10.in-addr.arpa',
      '1.4.3.75.10.in-addr.arpa',
    ]) {
      expect(ask(outside, TYPE_PTR), outside).toBeUndefined()
    }
    for (const odd of ['04.3.75.10.in-addr.arpa', '256.3.75.10.in-addr.arpa', 'x.3.75.10.in-addr.arpa']) {
      expect(ask(odd, TYPE_PTR), odd).toBeUndefined()
    }
    const prefix = 'e.7.c.6.6.7.4.1.4.d.d.f.ip6.arpa'
    expect(ask(`4.0.3.0.b.4.a.0.0.0.0.0.0.0.0.0.0.0.0.0.${prefix}`, TYPE_PTR)).toBe('web.guest')
    expect(ask(`0.0.0.0.${prefix}`, TYPE_PTR)).toBe('')
    expect(ask(`f.0.0.0.${prefix}`, TYPE_PTR)).toBe(`error ${NAME_ERROR}`)
    expect(ask(prefix, TYPE_SOA)).toBe('SOA')
    expect(ask(prefix.slice(2), TYPE_PTR)).toBeUndefined()
  })

  it('owns just its part of the reverse tree where the subnet ends within a label', () => {
    const settings = { ...defaultSettings, ipv4Subnet: '10.75.16.0/20', gatewayIpv4: '10.75.16.1' }
    const inPart = zoneOf([{ ...web, ipv4: '10.75.17.4' }], settings)
    expect(inPart('4.17.75.10.in-addr.arpa', TYPE_PTR)).toBe('web.guest')
    expect(inPart('17.75.10.in-addr.arpa', TYPE_SOA)).toBe('SOA')
    expect(inPart('4.32.75.10.in-addr.arpa', TYPE_PTR)).toBeUndefined()
    expect(inPart('75.10.in-addr.arpa', TYPE_SOA)).toBeUndefined()
  })

  it('may be called otherwise', () => {
    const own = zoneOf([web], { ...defaultSettings, zone: 'VM.Internal' })
    expect(own('web.vm.internal')).toBe('10.75.3.4')
    expect(own('4.3.75.10.in-addr.arpa', TYPE_PTR)).toBe('web.vm.internal')
    expect(own('internal')).toBeUndefined()
    expect(own('web.guest')).toBeUndefined()
  })

  it('hides guests that may not meet others, both ways, and not from themselves', () => {
    const alone = guest('alone', 9, false)
    const hiding = zoneOf([web, db, alone])
    expect(hiding('alone.guest')).toBe(`error ${NAME_ERROR}`)
    expect(hiding('9.3.75.10.in-addr.arpa', TYPE_PTR)).toBe(`error ${NAME_ERROR}`)
    expect(hiding('web.guest', TYPE_A, alone.id)).toBe(`error ${NAME_ERROR}`)
    expect(hiding('alone.guest', TYPE_A, alone.id)).toBe('10.75.3.9')
    expect(hiding('host.guest', TYPE_A, alone.id)).toBe('10.75.0.1')
    expect(hiding('web', TYPE_A, alone.id)).toBeUndefined()
  })

  it('has nothing in other classes', () => {
    expect(ask('web.guest', TYPE_A, web.id, CHAOS)).toBe(`error ${REFUSED}`)
  })
})
