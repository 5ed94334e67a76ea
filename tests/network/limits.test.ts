// What a guest may have, and no more: beyond its limits it is told no at once, what it has goes on, and its neighbour does
// not feel it. The limits are small here, so that a few connections meet them.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { defaultSettings } from '../../core/net/settings.ts'
import { GATEWAY, type Guest } from './support/guest.ts'
import { BLACK_HOLE, NetworkLab, WORLD } from './support/network-lab.ts'
import { connectIn, datagramsIn, listenIn } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const limits = {
  ...defaultSettings.limits,
  tcpFlows: 40,
  allTcpFlows: 60,
  tcpHalfOpen: 10,
  udpFlows: 20,
  dnsTcpConnections: 2,
}
const world = { address: WORLD.ipv4, port: 80 }
let lab: NetworkLab
let engine: TestEngine
let one: Guest
let other: Guest
let open: Socket[] = []

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab, { settings: { ...defaultSettings, limits } })
  one = await engine.addGuest()
  other = await engine.addGuest()
  lab.use(await listenIn(lab.world, world, (socket) => socket.pipe(socket)))
})
afterAll(() => lab[Symbol.asyncDispose]())
afterEach(() => {
  for (const socket of open) socket.resetAndDestroy()
  open = []
})
beforeEach(async () => {
  const tcpFlows = async () => (await engine.client.stats()).guests.map((guest) => guest.tcpFlows)
  await expect.poll(tcpFlows, { timeout: 10_000 }).toEqual([0, 0])
})

/** Tries so many echoes over connections that stay open: how many came back. */
async function openConnections(guest: Guest, count: number): Promise<number> {
  let works = 0
  for (let index = 0; index < count; index++) {
    const client = connectIn(guest.namespace, world)
    client.on('error', () => undefined)
    client.write('x')
    const isOpen = await Promise.race([
      once(client, 'data').then(
        () => true,
        () => false,
      ),
      once(client, 'close').then(
        () => false,
        () => false,
      ),
    ])
    if (isOpen) works++
    open.push(client)
  }
  return works
}

test('TCP: beyond its flows a guest is refused, beyond those of the engine everybody is', async () => {
  expect(await openConnections(one, 50)).toBe(limits.tcpFlows)
  expect(await openConnections(other, 30)).toBe(limits.allTcpFlows - limits.tcpFlows)
  for (const client of open.slice(0, limits.tcpFlows)) {
    client.write('still there')
    expect(String((await once(client, 'data'))[0])).toBe('still there')
  }
})

test('TCP: closed connections make room', async () => {
  for (let round = 0; round < 3; round++) {
    expect(await openConnections(one, limits.tcpFlows)).toBe(limits.tcpFlows)
    for (const client of open) client.resetAndDestroy()
    open = []
    await expect.poll(async () => (await engine.client.stats()).guests[0]?.tcpFlows).toBe(0)
  }
})

test('UDP: the flow that was quiet longest gives way', async () => {
  await using server = await datagramsIn(lab.world, { address: WORLD.ipv4, port: 53 })
  server.on('message', (message, { address, port }) => server.send(message, port, address))
  const clients = []
  for (let index = 0; index < 30; index++) {
    const client = lab.use(
      await datagramsIn(one.namespace, { address: one.message.ipv4, port: 5000 + index }),
    )
    client.send(`question ${index}`, 53, WORLD.ipv4)
    expect(String((await once(client, 'message'))[0])).toBe(`question ${index}`)
    clients.push(client)
  }
  expect((await engine.client.stats()).guests[0]?.udpFlows).toBe(limits.udpFlows)
})

test('names over TCP: connections beyond a few are closed at once', async () => {
  const clients = Array.from({ length: 6 }, () =>
    connectIn(one.namespace, { address: GATEWAY.ipv4, port: 53 }),
  )
  let closed = 0
  for (const client of clients) {
    client.on('error', () => undefined)
    client.on('close', () => closed++)
    client.resume()
  }
  await expect.poll(() => closed).toBe(clients.length - limits.dnsTcpConnections)
  open.push(...clients)
})

test('a guest at its limits does not keep its neighbour from its own', async () => {
  expect(await openConnections(one, 45)).toBe(limits.tcpFlows)
  expect(await openConnections(other, 10)).toBe(10)
})

// The last: nobody tells the engine that the guest has given up, so these stay for minutes.
test('half-open: the oldest gives way to a new one, which works', async () => {
  for (let port = 1000; port < 1030; port++) {
    const client = connectIn(one.namespace, { address: BLACK_HOLE, port })
    client.on('error', () => undefined)
    open.push(client)
  }
  await expect
    .poll(
      async () =>
        (await engine.client.flows(one.message.id)).filter(({ state }) => state === 'connecting').length,
    )
    .toBe(limits.tcpHalfOpen)
  expect(await openConnections(one, 1)).toBe(1)
})
