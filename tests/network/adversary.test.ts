// Guests that attack: floods, lies and impossible packets, from a wire whose frames the test makes itself. Each time the
// engine stays up and small, keeps its limits, and a neighbour is served all the while.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { defaultLimits } from '../../core/net/settings.ts'
import { GATEWAY, GUEST_LINK, type Guest } from './support/guest.ts'
import { BLACK_HOLE, NetworkLab, WORLD } from './support/network-lab.ts'
import { openDescriptors, residentBytes } from './support/process-cost.ts'
import { RawConnection } from './support/raw-connection.ts'
import {
  addressBytes,
  arp,
  frame,
  icmpEcho,
  ipv4,
  ipv6,
  macBytes,
  TCP_ACK,
  TCP_SYN,
  tcp,
  udp,
} from './support/raw-frames.ts'
import { RawWire } from './support/raw-wire.ts'
import { connectIn, datagramsIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const IPV4 = 0x0800
const IPV6 = 0x86dd
const ARP = 0x0806
const ICMP = 1
const TCP = 6
const UDP = 17
const ICMPV6 = 58
const MIB = 1024 * 1024
const world = { address: WORLD.ipv4, port: 80 }
let lab: NetworkLab
let engine: TestEngine
let neighbour: Guest
let wire: RawWire
let before = 0
let lastNumber = 100

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  neighbour = await engine.addGuest()
  lab.use(await listenIn(lab.world, world, (socket) => socket.end('hello')))
  await expectNeighbourServed()
})
afterAll(() => lab[Symbol.asyncDispose]())
beforeEach(async () => {
  wire = new RawWire(++lastNumber)
  await engine.connect(wire)
  before = residentBytes(engine.pid)
})
afterEach(async () => {
  await expectNeighbourServed()
  // Node's own heap comes and goes; a limit that does not hold would be hundreds of MiB.
  expect(residentBytes(engine.pid) - before).toBeLessThan(96 * MIB)
  await engine.removeGuest(wire.message.id)
  await wire[Symbol.asyncDispose]()
})

async function expectNeighbourServed(): Promise<void> {
  expect(String(await readToEnd(connectIn(neighbour.namespace, world)))).toBe('hello')
}

const fromGuest4 = (destination: string, protocol: number, payload: Uint8Array, more: object = {}) =>
  frame(
    { sourceMac: wire.message.mac },
    IPV4,
    ipv4({ source: wire.message.ipv4, destination, protocol, ...more }, payload),
  )
const fromGuest6 = (destination: string, nextHeader: number, payload: Uint8Array, more: object = {}) =>
  frame(
    { sourceMac: wire.message.mac },
    IPV6,
    ipv6({ source: wire.message.ipv6, destination, nextHeader, ...more }, payload),
  )

async function stats() {
  const { guests } = await engine.client.stats()
  const found = guests.find(({ guest }) => guest === wire.message.id)
  if (found === undefined) throw new Error('The engine does not know the guest')
  return found
}

/** Sends `count` frames, with the neighbour looked after in between. */
async function flood(count: number, make: (index: number) => Buffer): Promise<void> {
  for (let index = 0; index < count; index++) {
    await wire.send(make(index))
    if (index % 5000 === 4999) await expectNeighbourServed()
  }
  await engine.settle()
}

describe('floods', () => {
  test('SYNs to a place that never answers: half-open connections stay below their limit', async () => {
    await flood(20_000, (index) =>
      fromGuest4(
        BLACK_HOLE,
        TCP,
        tcp({ sourcePort: 1024 + (index % 60_000), destinationPort: 80, sequence: index, flags: TCP_SYN }),
      ),
    )
    expect((await stats()).tcpFlows).toBeLessThanOrEqual(defaultLimits.tcpHalfOpen)
    expect(openDescriptors(engine.pid)).toBeLessThan(defaultLimits.tcpHalfOpen + 500)
  })

  test('SYNs to the ports of a place that refuses: nothing stays behind', async () => {
    await flood(10_000, (index) =>
      fromGuest4(WORLD.ipv4, TCP, tcp({ sourcePort: 2000, destinationPort: 1024 + index, flags: TCP_SYN })),
    )
    await expect.poll(async () => (await stats()).tcpFlows, { timeout: 10_000 }).toBe(0)
  })

  test('datagrams to every port: flows stay below their limit, the oldest give way', async () => {
    await flood(20_000, (index) => fromGuest4(BLACK_HOLE, UDP, udp(4000, 1024 + index, Buffer.from('x'))))
    expect((await stats()).udpFlows).toBeLessThanOrEqual(defaultLimits.udpFlows)
  })

  test('pings with every identifier', async () => {
    await flood(10_000, (index) => fromGuest4(BLACK_HOLE, ICMP, icmpEcho(index, 1, false, Buffer.alloc(56))))
    expect((await stats()).pingFlows).toBeLessThanOrEqual(defaultLimits.pingFlows)
    expect((await stats()).drops.rate).toBeGreaterThan(0)
  })

  test('first fragments of datagrams that never end', async () => {
    await flood(20_000, (index) =>
      fromGuest4(WORLD.ipv4, UDP, Buffer.alloc(1400), {
        identification: index % 65_536,
        moreFragments: true,
      }),
    )
    expect((await stats()).drops.fragment).toBeGreaterThan(0)
  })

  test('segments of connections that do not exist: each is reset, none is kept', async () => {
    await flood(10_000, (index) =>
      fromGuest4(WORLD.ipv4, TCP, tcp({ sourcePort: 1024 + index, destinationPort: 80, flags: TCP_ACK })),
    )
    expect((await stats()).tcpFlows).toBe(0)
  })

  test('questions to the resolver', async () => {
    const question = Buffer.from(
      '123401000001000000000000046e616d65047465737400 0001 0001'.replaceAll(' ', ''),
      'hex',
    )
    await flood(5000, (index) => fromGuest4(GATEWAY.ipv4, UDP, udp(1024 + index, 53, question)))
    expect((await stats()).drops.rate).toBeGreaterThan(0)
  })
})

describe('a guest that does not read what it is sent', () => {
  test('loses it, and nobody else does', async () => {
    wire.pause()
    await flood(20_000, (index) =>
      fromGuest4(GATEWAY.ipv4, TCP, tcp({ sourcePort: 1024 + index, destinationPort: 9, flags: TCP_SYN })),
    )
    expect((await stats()).drops['device-full']).toBeGreaterThan(0)
  })
})

describe('lies about who one is', () => {
  test("nothing from another's addresses is carried", async () => {
    const heard: string[] = []
    await using server = await datagramsIn(lab.world, { address: WORLD.ipv4, port: 4321 })
    server.on('message', (message) => heard.push(String(message)))
    const { mac } = wire.message
    const datagram = udp(1, 4321, Buffer.from('lie'))
    for (const source of [neighbour.message.ipv4, GATEWAY.ipv4, WORLD.ipv4, '127.0.0.1', '0.0.0.0'])
      await wire.send(
        frame({ sourceMac: mac }, IPV4, ipv4({ source, destination: WORLD.ipv4, protocol: UDP }, datagram)),
      )
    for (const source of [neighbour.message.ipv6, GATEWAY.ipv6, WORLD.ipv6, 'fe80::99', '::', '::1'])
      await wire.send(
        frame({ sourceMac: mac }, IPV6, ipv6({ source, destination: WORLD.ipv6, nextHeader: UDP }, datagram)),
      )
    for (const sourceMac of [neighbour.message.mac, GATEWAY.mac])
      await wire.send(
        frame(
          { sourceMac },
          IPV4,
          ipv4({ source: wire.message.ipv4, destination: WORLD.ipv4, protocol: UDP }, datagram),
        ),
      )
    await wire.send(fromGuest4(WORLD.ipv4, UDP, udp(1, 4321, Buffer.from('truth'))))
    await once(server, 'message')
    expect(heard).toEqual(['truth'])
    expect((await stats()).drops['spoofed-source']).toBe(13)
  })

  test('claims to be the gateway, its router or its DHCP server reach no neighbour', async () => {
    const table = () => neighbour.namespace.ip('neighbour', 'show', 'dev', GUEST_LINK)
    await neighbour.namespace.run('ping', '-c', '1', GATEWAY.ipv6)
    const gatewayBefore = (await table()).match(/lladdr \S+/g)
    const { mac } = wire.message
    const everyone = 'ff:ff:ff:ff:ff:ff'
    const claim = (operation: number, senderIp: string, targetIp: string) =>
      arp({ operation, senderMac: mac, senderIp, targetIp, targetMac: neighbour.message.mac })
    for (const destinationMac of [everyone, neighbour.message.mac, GATEWAY.mac]) {
      await wire.send(
        frame({ sourceMac: mac, destinationMac }, ARP, claim(2, GATEWAY.ipv4, neighbour.message.ipv4)),
      )
      await wire.send(
        frame({ sourceMac: mac, destinationMac }, ARP, claim(1, neighbour.message.ipv4, GATEWAY.ipv4)),
      )
      const target = Buffer.concat([Buffer.from([0x20, 0, 0, 0]), addressBytes(GATEWAY.ipv6)])
      const advertisement = Buffer.concat([
        Buffer.from([136, 0, 0, 0]),
        target,
        Buffer.from([2, 1]),
        macBytes(mac),
      ])
      const router = Buffer.from([134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0])
      for (const message of [advertisement, router])
        await wire.send(
          frame(
            { sourceMac: mac, destinationMac },
            IPV6,
            ipv6({ source: 'fe80::1', destination: 'ff02::1', nextHeader: ICMPV6, hopLimit: 255 }, message),
          ),
        )
      await wire.send(
        frame(
          { sourceMac: mac, destinationMac },
          IPV4,
          ipv4(
            { source: wire.message.ipv4, destination: '255.255.255.255', protocol: UDP },
            udp(67, 68, Buffer.alloc(300)),
          ),
        ),
      )
    }
    await engine.settle()
    expect((await table()).match(/lladdr \S+/g)).toEqual(gatewayBefore)
    expect(await neighbour.namespace.ip('-6', 'route', 'show', 'default')).not.toContain('proto ra')
  })
})

describe('fragments', () => {
  test('that fit are put together; that overlap are not', async () => {
    const heard: Buffer[] = []
    await using server = await datagramsIn(lab.world, { address: WORLD.ipv4, port: 4322 })
    server.on('message', (message) => heard.push(message))
    const whole = udp(1, 4322, Buffer.alloc(2000, 'a'))
    // No checksum: that of a fragment's packet nobody can vouch for.
    whole.writeUInt16BE(0, 6)
    const piece = (identification: number, from: number, to: number) =>
      fromGuest4(WORLD.ipv4, UDP, whole.subarray(from, to), {
        identification,
        fragmentOffset: from,
        moreFragments: to < whole.length,
      })
    for (const overlapping of [piece(1, 0, 1000), piece(1, 800, 1200), piece(1, 1000, whole.length)])
      await wire.send(overlapping)
    for (const good of [piece(2, 1000, whole.length), piece(2, 0, 1000)]) await wire.send(good)
    await once(server, 'message')
    expect(heard.map(({ length }) => length)).toEqual([2000])
    expect((await stats()).drops.fragment).toBeGreaterThan(0)
  })

  test('that would be more than a packet can be are dropped', async () => {
    await wire.send(
      fromGuest4(WORLD.ipv4, UDP, Buffer.alloc(1000), { identification: 3, fragmentOffset: 65_528 }),
    )
    await expect
      .poll(async () => Object.values((await stats()).drops).reduce((sum, count) => sum + count, 0))
      .toBe(1)
  })
})

describe('TCP of a liar', () => {
  async function connected(options: readonly number[] = []) {
    const accepted = Promise.withResolvers<Socket>()
    const place = { address: WORLD.ipv4, port: 8000 + lastNumber }
    const server = await listenIn(lab.world, place, accepted.resolve)
    const connection = await RawConnection.open(wire, place, options)
    return {
      connection,
      inWorld: await accepted.promise,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  }

  test('a tiny segment size does not make a frame of each byte', async () => {
    await using both = await connected([2, 4, 0, 1])
    both.inWorld.write(Buffer.alloc(5000))
    const { payloadBytes, segmentBytes } = await both.connection.nextData()
    expect(Math.min(payloadBytes, segmentBytes || payloadBytes)).toBeGreaterThanOrEqual(500)
  })

  test('sequence numbers from the other half of their space change nothing', async () => {
    await using both = await connected()
    const { connection } = both
    for (const jump of [0x7fff_ffff, 0x8000_0000, 0x8000_0001, -70_000, 70_000_000]) {
      await connection.send({ sequence: connection.sequence + jump, flags: TCP_ACK }, Buffer.from('lie'))
      await connection.send({ acknowledgement: connection.acknowledgement + jump, flags: TCP_ACK })
    }
    await connection.send({ flags: TCP_ACK }, Buffer.from('truth'))
    expect(String((await once(both.inWorld, 'data'))[0])).toBe('truth')
  })

  test('urgent pointers, reserved bits and lists of acknowledgements beyond reason are data like any', async () => {
    await using both = await connected([2, 4, 5, 180, 4, 2])
    const { connection } = both
    const sack = [5, 34, ...Array.from({ length: 32 }, (_, index) => (index * 7) & 255), 1, 1]
    both.inWorld.write(Buffer.alloc(5000))
    await connection.nextData()
    for (let round = 0; round < 200; round++) await connection.send({ flags: TCP_ACK, options: sack })
    await connection.send({ flags: TCP_ACK | 0x20, urgent: 0xffff }, Buffer.from('truth'))
    expect(String((await once(both.inWorld, 'data'))[0])).toBe('truth')
  })

  test('options that never end or have no length open no connection, or a plain one', async () => {
    for (const options of [
      [2, 0, 0, 0],
      [2, 1, 0, 0],
      [3, 255, 0, 0],
      [8, 200, 1, 1],
      [255, 255, 255, 255],
    ])
      await wire.send(
        fromGuest4(WORLD.ipv4, TCP, tcp({ sourcePort: 7, destinationPort: 80, flags: TCP_SYN, options })),
      )
    await engine.settle()
  })

  test('every combination of flags, to a port that is open', async () => {
    for (let flags = 0; flags < 256; flags++) {
      await wire.send(
        fromGuest4(WORLD.ipv4, TCP, tcp({ sourcePort: 3000 + flags, destinationPort: 80, flags })),
      )
      await wire.send(
        fromGuest6(WORLD.ipv6, TCP, tcp({ sourcePort: 3000 + flags, destinationPort: 80, flags })),
      )
    }
    await engine.settle()
  })
})
