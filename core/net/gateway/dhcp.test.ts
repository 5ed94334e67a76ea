import { describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { answerDhcp, type DhcpNames, dhcpFault } from './dhcp.ts'
import { encodeDomainNames } from './domain-names.ts'
import {
  addressBytes,
  ethernetFrame,
  gateway,
  gatewayIpv4,
  guestIpv4,
  guestMac,
  guestWire,
  ipFrame,
  readPacket,
  received,
  type SeenPacket,
  udpDatagram,
} from './guest-wire.fixture.ts'

const names: DhcpNames = {
  hostName: Uint8Array.from(Buffer.from('web')),
  domainName: Uint8Array.from(Buffer.from('guest')),
  search: encodeDomainNames(['example.org']),
}

interface Request {
  readonly type: number
  readonly options?: readonly number[]
  readonly clientAddress?: string
  readonly flags?: number
  readonly mac?: Uint8Array
  readonly operation?: number
  readonly relay?: string
  readonly sourcePort?: number
}

/** A message as a client makes it: RFC 2131 §2, field by field. */
function request(options: Request): Uint8Array {
  const {
    type,
    clientAddress = '0.0.0.0',
    flags = 0,
    mac = guestMac,
    operation = 1,
    relay = '0.0.0.0',
  } = options
  const message = Uint8Array.of(
    ...[operation, 1, 6, 0],
    ...[0xde, 0xad, 0xbe, 0xef],
    ...[0, 3, flags >>> 8, flags & 255],
    ...addressBytes(clientAddress),
    ...new Uint8Array(8),
    ...addressBytes(relay),
    ...mac,
    ...new Uint8Array(10 + 64 + 128),
    ...[0x63, 0x82, 0x53, 0x63],
    ...[53, 1, type],
    ...(options.options ?? []),
    255,
  )
  const from = clientAddress
  const to = clientAddress === '0.0.0.0' ? '255.255.255.255' : gatewayIpv4
  const datagram = udpDatagram(from, to, options.sourcePort ?? 68, 67, message)
  return ipFrame({ from, to, protocol: 17, payload: datagram })
}

interface Reply {
  readonly packet: SeenPacket
  readonly message: Uint8Array
  readonly options: Map<number, number[]>
}

function ask(options: Request, mtu = 1500): Reply | undefined {
  const { port } = guestWire({ mtu })
  const frame = received(request(options))
  expect(dhcpFault(port, frame)).toBeUndefined()
  const target = new PinnedBuffer(4096)
  target.bytes.fill(0xee)
  const length = answerDhcp(port, frame, gateway, names, target)
  if (length === 0) return undefined
  const packet = readPacket(target.bytes.slice(0, length))
  expect([...packet.payload.subarray(0, 4)]).toEqual([0, 67, 0, 68])
  const message = packet.payload.subarray(8)
  const found = new Map<number, number[]>()
  for (let at = 240; message[at] !== 255; at += 2 + (message[at + 1] ?? 0)) {
    expect(at).toBeLessThan(message.length)
    found.set(message[at] ?? 0, [...message.subarray(at + 2, at + 2 + (message[at + 1] ?? 0))])
  }
  return { packet, message, options: found }
}

const typeOf = (reply: Reply | undefined) => reply?.options.get(53)?.[0]
const requested = (address: string) => [50, 4, ...addressBytes(address)]
const server = (address: string) => [54, 4, ...addressBytes(address)]

describe('DHCP for a guest', () => {
  it('offers its one address, with all that a host needs', () => {
    const reply = ask({ type: 1 })
    expect(typeOf(reply)).toBe(2)
    expect(reply?.packet).toMatchObject({
      from: gatewayIpv4,
      to: guestIpv4,
      destinationMac: '00:16:3e:01:02:03',
    })
    const message = reply?.message ?? new Uint8Array(0)
    expect([...message.subarray(0, 12)]).toEqual([2, 1, 6, 0, 0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0])
    expect([...message.subarray(16, 20)]).toEqual([...addressBytes(guestIpv4)])
    expect([...message.subarray(28, 34)]).toEqual([...guestMac])
    const gatewayOctets = [...addressBytes(gatewayIpv4)]
    expect(Object.fromEntries(reply?.options ?? [])).toEqual({
      1: [255, 255, 0, 0],
      3: gatewayOctets,
      6: gatewayOctets,
      12: [...Buffer.from('web')],
      15: [...Buffer.from('guest')],
      26: [0x05, 0xdc],
      28: [10, 75, 255, 255],
      51: [0, 1, 0x51, 0x80],
      53: [2],
      54: gatewayOctets,
      58: [0, 0, 0xa8, 0xc0],
      59: [0, 1, 0x27, 0x50],
      119: [...Buffer.from('\x07example\x03org\0', 'latin1')],
      121: [32, ...gatewayOctets, 0, 0, 0, 0, 0, ...gatewayOctets],
    })
  })

  it('acknowledges a request for it: after an offer, after a restart, and to renew', () => {
    expect(typeOf(ask({ type: 3, options: [...requested(guestIpv4), ...server(gatewayIpv4)] }))).toBe(5)
    expect(typeOf(ask({ type: 3, options: requested(guestIpv4) }))).toBe(5)
    const renewed = ask({ type: 3, clientAddress: guestIpv4 })
    expect(typeOf(renewed)).toBe(5)
    expect([...(renewed?.message.subarray(12, 16) ?? [])]).toEqual([...addressBytes(guestIpv4)])
  })

  it('refuses another address, to all on the wire', () => {
    const reply = ask({ type: 3, options: [...requested('10.75.9.9'), ...server(gatewayIpv4)] })
    expect(typeOf(reply)).toBe(6)
    expect(reply?.packet).toMatchObject({ to: '255.255.255.255', destinationMac: 'ff:ff:ff:ff:ff:ff' })
    expect([...(reply?.message.subarray(12, 20) ?? [])]).toEqual(new Array(8).fill(0))
    expect([...(reply?.options.keys() ?? [])].toSorted()).toEqual([53, 54])
  })

  it('is silent when another server was chosen, and to releases and refusals', () => {
    expect(ask({ type: 3, options: [...requested(guestIpv4), ...server('192.0.2.1')] })).toBeUndefined()
    for (const type of [4, 7, 0, 99]) expect(ask({ type })).toBeUndefined()
  })

  it('acknowledges at once who asks for that (RFC 4039)', () => {
    const reply = ask({ type: 1, options: [80, 0] })
    expect(typeOf(reply)).toBe(5)
    expect(reply?.options.get(80)).toEqual([])
  })

  it('tells who has an address already about the rest, without a lease', () => {
    const reply = ask({ type: 8, clientAddress: guestIpv4 })
    expect(typeOf(reply)).toBe(5)
    expect([...(reply?.message.subarray(16, 20) ?? [])]).toEqual([0, 0, 0, 0])
    expect(reply?.options.has(51)).toBe(false)
    expect(reply?.options.has(6)).toBe(true)
  })

  it('broadcasts to clients that ask for it', () => {
    const reply = ask({ type: 1, flags: 0x8000 })
    expect(reply?.packet).toMatchObject({ to: '255.255.255.255', destinationMac: 'ff:ff:ff:ff:ff:ff' })
    expect([...(reply?.message.subarray(10, 12) ?? [])]).toEqual([0x80, 0])
  })

  it('gives the client’s identifier back (RFC 6842)', () => {
    expect(ask({ type: 1, options: [61, 3, 7, 8, 9] })?.options.get(61)).toEqual([7, 8, 9])
  })

  it('keeps to what the client takes', () => {
    const long = [61, 250, ...new Array<number>(250).fill(1)]
    const small = ask({ type: 1, options: long })
    expect(20 + (small?.packet.payload.length ?? 0)).toBeLessThanOrEqual(576)
    expect(small?.options.has(119)).toBe(false)
    const large = ask({ type: 1, options: [57, 2, 5, 0xdc, ...long] })
    expect(large?.options.has(119)).toBe(true)
  })

  it('takes a cut-off option for none', () => {
    expect(typeOf(ask({ type: 1, options: [80, 200] }))).toBe(2)
    expect(typeOf(ask({ type: 3, options: [50, 4, 10] }))).toBe(6)
  })
})

describe('what is no request of the guest', () => {
  const { port } = guestWire()
  const fault = (options: Request) => dhcpFault(port, received(request(options)))

  it('is a lie when it comes from a server or through a relay', () => {
    expect(fault({ type: 2, operation: 2 })).toBe('gateway-lie')
    expect(fault({ type: 1, sourcePort: 67 })).toBe('gateway-lie')
    expect(fault({ type: 1, relay: '10.75.9.9' })).toBe('gateway-lie')
  })

  it('is spoofed when it names another MAC', () => {
    expect(fault({ type: 1, mac: gateway.mac })).toBe('spoofed-source')
  })

  it('is malformed when it is short or has another cookie', () => {
    const datagram = udpDatagram('0.0.0.0', '255.255.255.255', 68, 67, new Uint8Array(200))
    const raw = ipFrame({ from: '0.0.0.0', to: '255.255.255.255', protocol: 17, payload: datagram })
    expect(dhcpFault(port, received(raw))).toBe('malformed')
    const changed = request({ type: 1 })
    changed[24 + 28 + 236] = 0
    expect(dhcpFault(port, received(changed))).toBe('malformed')
    expect(() => received(ethernetFrame(0x0800, new Uint8Array(10)))).toThrow('malformed')
  })
})
