// Places that no guest reaches unless somebody opened them: the host itself, on whichever of its addresses, and the ranges
// that mean something on the host's side alone (networking.md). Servers listen on every address of the host and must meet
// nobody. The frames are made by the test: a guest's own kernel would not send most of them.
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { GATEWAY, type Guest } from './support/guest.ts'
import { HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { frame, ipv4, ipv6, TCP_SYN, tcp, udp } from './support/raw-frames.ts'
import { RawWire } from './support/raw-wire.ts'
import { connectIn, datagramsIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const PORT = 2222
const ETHER_IPV4 = 0x0800
const ETHER_IPV6 = 0x86dd
const PROTOCOL_TCP = 6
const PROTOCOL_UDP = 17
let lab: NetworkLab
let engine: TestEngine
let guest: Guest
let wire: RawWire
let met: string[] = []
let lastPort = 20_000

beforeAll(async () => {
  lab = await NetworkLab.create()
  await lab.host.ip('address', 'add', '192.168.122.1/24', 'dev', 'lo')
  await lab.host.ip('address', 'add', '169.254.9.9/16', 'dev', 'wire')
  // The host takes whole ranges for its own: who gets past the engine is met.
  for (const range of ['240.0.0.0/4', '64:ff9b::/96'])
    await lab.host.ip('route', 'add', 'local', range, 'dev', 'lo')
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  wire = lab.use(new RawWire(100))
  await engine.connect(wire)
  for (const place of [
    { address: '0.0.0.0', port: PORT },
    { address: '::', port: PORT + 1 },
  ]) {
    const server = await listenIn(lab.host, place, (socket) => {
      met.push(`TCP ${socket.localAddress}`)
      socket.destroy()
    })
    lab.use(server)
    const datagrams = lab.use(await datagramsIn(lab.host, place))
    datagrams.on('message', () => met.push(`UDP ${place.address}`))
  }
})
afterAll(() => lab[Symbol.asyncDispose]())
beforeEach(() => {
  met = []
})

const closed = [
  ['loopback', '127.0.0.1'],
  ['all of loopback', '127.8.9.10'],
  ["the host's own network", '0.0.0.0'],
  ["all of the host's own network", '0.1.2.3'],
  ['the address of the host on its wire', HOST.ipv4],
  ['another address of the host', '192.168.122.1'],
  ['a link-local address of the host', '169.254.9.9'],
  ['link-local, where clouds keep credentials', '169.254.169.254'],
  ['multicast', '224.0.0.1'],
  ['a reserved range that the host takes for its own', '240.1.2.3'],
  ['broadcast', '255.255.255.255'],
  ['IPv6 loopback', '::1'],
  ['IPv6 without an address', '::'],
  ['the IPv6 address of the host on its wire', HOST.ipv6],
  ['IPv4 in IPv6', '::ffff:127.0.0.1'],
  ["NAT64's prefix", '64:ff9b::7f00:1'],
  ['IPv6 link-local', 'fe80::2'],
  ['IPv6 multicast', 'ff02::1'],
] as const

describe.each(closed)('%s (%s)', (_, address) => {
  test.each([
    [
      'TCP',
      PROTOCOL_TCP,
      () => tcp({ sourcePort: ++lastPort, destinationPort: portOf(address), flags: TCP_SYN }),
    ],
    ['UDP', PROTOCOL_UDP, () => udp(++lastPort, portOf(address), Buffer.from('hello'))],
  ] as const)('hears no %s', async (_name, protocol, packet) => {
    const before = await refused()
    await wire.send(toward(address, protocol, packet()))
    await expect.poll(refused).toBe(before + 1)
    expect(met).toEqual([])
  })
})

test('a guest is told at once that a place is closed to it', async () => {
  const client = connectIn(guest.namespace, { address: HOST.ipv4, port: PORT })
  await expect(readToEnd(client)).rejects.toThrow(/ECONNREFUSED|ECONNRESET|EHOSTUNREACH|EACCES/)
  expect(met).toEqual([])
})

test('the gateway itself has no ports but that for names', async () => {
  for (const address of [GATEWAY.ipv4, GATEWAY.ipv6])
    await expect(readToEnd(connectIn(guest.namespace, { address, port: PORT }))).rejects.toThrow(
      'ECONNREFUSED',
    )
  expect(met).toEqual([])
})

test('an address that the host gets while guests run is closed too', async () => {
  await lab.host.ip('address', 'add', '10.55.0.1/24', 'dev', 'wire')
  await expect
    .poll(async () => {
      met = []
      const client = connectIn(guest.namespace, { address: '10.55.0.1', port: PORT })
      await readToEnd(client).catch(() => undefined)
      return met
    })
    .toEqual([])
})

test('what a guest may reach is reached all the same', async () => {
  await using _ = await listenIn(lab.world, { address: WORLD.ipv4, port: PORT }, (socket) =>
    socket.end('hello'),
  )
  const client = connectIn(guest.namespace, { address: WORLD.ipv4, port: PORT })
  expect(String(await readToEnd(client))).toBe('hello')
})

test("of a guest's own rules the first that fits decides, for each protocol and port", async () => {
  const ruled = await engine.addGuest({
    policy: [
      { action: 'allow', range: WORLD.ipv4, protocol: 'tcp', ports: [81, 82] },
      { action: 'deny', range: 'any', protocol: 'tcp' },
    ],
  })
  const reach = async (port: number) => {
    await using _ = await listenIn(lab.world, { address: WORLD.ipv4, port }, (socket) => socket.end('hello'))
    const client = connectIn(ruled.namespace, { address: WORLD.ipv4, port })
    return await readToEnd(client).then(String, () => 'refused')
  }
  expect([await reach(80), await reach(81), await reach(82), await reach(83)]).toEqual([
    ...['refused', 'hello', 'hello', 'refused'],
  ])
  await using server = await datagramsIn(lab.world, { address: WORLD.ipv4, port: 80 })
  await using client = await datagramsIn(ruled.namespace, { address: ruled.message.ipv4, port: 0 })
  client.send('still here', 80, WORLD.ipv4)
  expect(String((await once(server, 'message'))[0])).toBe('still here')
})

function portOf(address: string): number {
  return address.includes(':') ? PORT + 1 : PORT
}

function toward(destination: string, protocol: number, packet: Uint8Array): Buffer {
  const { mac, ipv4: source4, ipv6: source6 } = wire.message
  return destination.includes(':')
    ? frame(
        { sourceMac: mac },
        ETHER_IPV6,
        ipv6({ source: source6, destination, nextHeader: protocol }, packet),
      )
    : frame({ sourceMac: mac }, ETHER_IPV4, ipv4({ source: source4, destination, protocol }, packet))
}

/** Frames that were not carried because of where they were to go. */
async function refused(): Promise<number> {
  const drops = await engine.drops(wire.message.id)
  return ['closed-range', 'multicast', 'malformed'].reduce((sum, reason) => sum + (drops[reason] ?? 0), 0)
}
