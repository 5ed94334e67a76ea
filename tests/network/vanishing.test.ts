// Guests that vanish under traffic: their device is gone from one moment to the next, as when their domain is destroyed.
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { GUEST_LINK, type Guest } from './support/guest.ts'
import { NetworkLab, WORLD } from './support/network-lab.ts'
import { openDescriptors } from './support/process-cost.ts'
import { connectIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const world = { address: WORLD.ipv4, port: 80 }
let lab: NetworkLab
let engine: TestEngine
let stays: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  stays = await engine.addGuest()
  lab.use(await listenIn(lab.world, world, (socket) => socket.pipe(socket)))
})
afterAll(() => lab[Symbol.asyncDispose]())

test.each(['tap', 'packet'] as const)('a %s in the middle of floods both ways', async (device) => {
  const before = openDescriptors(engine.pid)
  const lines = engine.log.length
  const guest = await engine.addGuest({ device })
  const flood = Array.from({ length: 8 }, () => {
    const client = connectIn(guest.namespace, world)
    client.on('error', () => undefined)
    client.resume()
    client.write(Buffer.alloc(64 * 1024 * 1024))
    return client
  })
  await Promise.all(flood.map((client) => once(client, 'data')))
  await guest.namespace.ip('link', 'delete', GUEST_LINK)
  await expect
    .poll(() => engine.log.slice(lines).filter((line) => line.startsWith(`${guest.message.id}:`)), {
      timeout: 10_000,
    })
    .toHaveLength(1)
  const client = connectIn(stays.namespace, world)
  client.end('still here')
  expect(String(await readToEnd(client))).toBe('still here')
  await engine.removeGuest(guest.message.id)
  await expect.poll(() => openDescriptors(engine.pid), { timeout: 10_000 }).toBeLessThanOrEqual(before)
  for (const each of flood) each.destroy()
})
