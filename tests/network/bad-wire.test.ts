// Wires that lose, double, reorder and delay what a guest and the engine say to each other: transfers are slower, and whole.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Faults } from '../../core/net/device/faulty-device.fixture.ts'
import { ContentServer } from './support/content.ts'
import { FaultyWire } from './support/faulty-wire.ts'
import { createGuest, type Guest } from './support/guest.ts'
import { FAMILIES, type Family, NetworkLab, WORLD } from './support/network-lab.ts'
import { TestEngine } from './support/test-engine.ts'

const MIB = 1024 * 1024
const SEED = Number(process.env.BULKHEAD_WIRE_SEED ?? 1)
let lab: NetworkLab
let engine: TestEngine
const servers = new Map<Family, ContentServer>()

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  for (const family of FAMILIES)
    servers.set(family, lab.use(await ContentServer.start(lab.world, { address: WORLD[family], port: 8080 })))
})
afterAll(() => lab[Symbol.asyncDispose]())

let lastNumber = 200
async function guestOnBadWire(faults: Partial<Faults>): Promise<Guest> {
  const guest = await createGuest(lab, ++lastNumber)
  const wire = lab.use(new FaultyWire(guest.fd, { seed: SEED, toGuest: faults, fromGuest: faults }))
  await engine.connect({ message: guest.message, fd: wire.fd })
  return guest
}

const wires: readonly (readonly [string, Partial<Faults>])[] = [
  ['loses one frame in fifty', { loss: 0.02 }],
  ['sends one frame in ten twice', { duplication: 0.1 }],
  ['lets others overtake one frame in ten', { reordering: 0.1 }],
  ['takes 10 to 20 ms', { delayMs: 10, jitterMs: 10 }],
  ['does all of that', { loss: 0.01, duplication: 0.02, reordering: 0.05, delayMs: 5, jitterMs: 5 }],
]

describe.each(wires)('a wire that %s', (_, faults) => {
  let guest: Guest
  beforeAll(async () => {
    guest = await guestOnBadWire(faults)
  })

  test.each(FAMILIES)('8 MiB come and go whole, %s', async (family) => {
    const server = servers.get(family)
    if (server === undefined) throw new Error(`There is no server for ${family}`)
    const down = await server.download(guest.namespace, 8 * MIB)
    expect(down).toMatchObject({ sent: { bytes: 8 * MIB }, sha256: down.sent.sha256 })
    const up = await server.upload(guest.namespace, 8 * MIB)
    expect(up).toMatchObject({ received: { bytes: 8 * MIB }, sha256: up.received.sha256 })
  })
})

test('what was lost was sent again, and no more than that many times over', async () => {
  const { guests } = await engine.client.stats()
  const sum = (pick: (stats: (typeof guests)[number]) => number) =>
    guests.reduce((all, stats) => all + pick(stats), 0)
  expect(sum(({ retransmissions }) => retransmissions)).toBeGreaterThan(0)
  // Ten transfers of 8 MiB to guests: all that went to them is not twice as much.
  expect(sum(({ inBytes }) => inBytes)).toBeLessThan(2 * 10 * 8 * MIB)
})
