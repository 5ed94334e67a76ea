// Faults that krata's network had, each with the traffic that showed it.
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { LoadGenerator } from './support/load-generator.ts'
import { malformedFrames } from './support/malformed-frames.ts'
import { BLACK_HOLE, NetworkLab, WORLD } from './support/network-lab.ts'
import { cpuTicks, residentBytes } from './support/process-cost.ts'
import { RawWire } from './support/raw-wire.ts'
import { connectIn, datagramsIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

let lab: NetworkLab
let engine: TestEngine
let guest: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  lab.use(await listenIn(lab.world, world, (socket) => socket.end('hello')))
})
afterAll(() => lab[Symbol.asyncDispose]())

const world = { address: WORLD.ipv4, port: 80 }

async function expectTheWorld(from = guest): Promise<void> {
  expect(String(await readToEnd(connectIn(from.namespace, world)))).toBe('hello')
}

describe('F4: one malformed frame ended the network of its guest', () => {
  test('after one of each kind everything works, for this guest and for others', async () => {
    await using wire = new RawWire(100)
    await engine.connect(wire)
    const frames = malformedFrames(wire.message)
    for (const [kind, frame] of frames) {
      await wire.send(frame)
      await expect
        .poll(() => sumOfDrops(wire), { message: kind })
        .toBeGreaterThanOrEqual(frames.findIndex(([name]) => name === kind) + 1)
    }
    await expectTheWorld()
    await engine.removeGuest(wire.message.id)
  })

  async function sumOfDrops(wire: RawWire): Promise<number> {
    return Object.values(await engine.drops(wire.message.id)).reduce((sum, count) => sum + count, 0)
  }
})

describe('F5: a connection to a place that does not answer held up all others', () => {
  test('200 of them are waiting, and others are made at once', async () => {
    const waiting = Array.from({ length: 200 }, (_, index) =>
      connectIn(guest.namespace, { address: BLACK_HOLE, port: 1000 + index }),
    )
    for (const client of waiting) client.on('error', () => undefined)
    await expect
      .poll(async () => (await engine.client.flows(guest.message.id)).filter(isConnecting).length)
      .toBe(200)
    for (let round = 0; round < 20; round++) await expectTheWorld()
    expect((await engine.client.flows(guest.message.id)).filter(isConnecting).length).toBe(200)
    for (const client of waiting) client.destroy()
  })

  test('a refused connection is refused', async () => {
    const client = connectIn(guest.namespace, { ...world, port: 81 })
    await expect(readToEnd(client)).rejects.toThrow('ECONNREFUSED')
  })

  const isConnecting = ({ state, remoteEnd }: { state: string; remoteEnd: string }) =>
    state === 'connecting' && remoteEnd.startsWith(BLACK_HOLE)
})

test('F6: after one unreachable port a socket for datagrams was deaf', async () => {
  await using client = await datagramsIn(guest.namespace, { address: guest.message.ipv4, port: 5000 })
  client.connect(5353, WORLD.ipv4)
  await once(client, 'connect')
  for (let round = 0; round < 3; round++) {
    const refused = once(client, 'error')
    client.send('nobody there')
    expect((await refused)[0]).toMatchObject({ code: 'ECONNREFUSED' })
  }
  await using server = await datagramsIn(lab.world, { address: WORLD.ipv4, port: 5353 })
  server.on('message', (message, { address, port }) => server.send(message, port, address))
  client.send('somebody there')
  expect(String((await once(client, 'message'))[0])).toBe('somebody there')
})

test('F7: 10 000 idle connections kept the processor busy', async () => {
  using load = await LoadGenerator.compile()
  const target = { address: WORLD.ipv4, port: 7001 }
  await using _ = await load.serve(lab.world, target)
  const before = residentBytes(engine.pid)
  await using connections = await load.idle(guest.namespace, target, 10_000)
  expect(connections.open).toBe(10_000)
  expect((await engine.client.stats()).flows).toBeGreaterThanOrEqual(10_000)
  // 100 MiB are 10 KiB for each; a buffer of a window for each would be 10 GiB.
  expect(residentBytes(engine.pid) - before).toBeLessThan(100 * 1024 * 1024)
  // A loop that finds something to do for each of them, or never sleeps, takes most of the 200 ticks.
  const ticks = cpuTicks(engine.pid)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  expect(cpuTicks(engine.pid) - ticks).toBeLessThan(20)
  expect(await connections.alive()).toBe(10_000)
})
