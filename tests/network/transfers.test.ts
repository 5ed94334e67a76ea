// Whole transfers through the engine, compared by their sums at both ends: nothing lost, doubled, swapped or changed.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContentServer } from './support/content.ts'
import type { Guest } from './support/guest.ts'
import { FAMILIES, NetworkLab, WORLD } from './support/network-lab.ts'
import { TestEngine } from './support/test-engine.ts'

const MIB = 1024 * 1024
const PORT = 8080
let lab: NetworkLab
let engine: TestEngine
const guests = new Map<string, Guest>()

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guests.set('TAP', await engine.addGuest())
  guests.set('packet socket', await engine.addGuest({ device: 'packet' }))
  guests.set('TAP without offloads', await engine.addGuest({ offloads: false }))
  guests.set('packet socket without offloads', await engine.addGuest({ device: 'packet', offloads: false }))
})
afterAll(() => lab[Symbol.asyncDispose]())

function guestOn(device: string): Guest {
  const guest = guests.get(device)
  if (guest === undefined) throw new Error(`There is no guest on a ${device}`)
  return guest
}

describe.each(FAMILIES)('%s', (family) => {
  let server: ContentServer
  beforeAll(async () => {
    server = await ContentServer.start(lab.world, { address: WORLD[family], port: PORT })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const sizes = [
    { device: 'TAP', mebibytes: family === 'ipv4' ? 1024 : 128 },
    { device: 'packet socket', mebibytes: 128 },
    { device: 'TAP without offloads', mebibytes: 32 },
    { device: 'packet socket without offloads', mebibytes: 32 },
  ]

  test.each(sizes)('$mebibytes MiB come from the world, over a $device', async ({ device, mebibytes }) => {
    const { sha256, sent } = await server.download(guestOn(device).namespace, mebibytes * MIB)
    expect(sent.bytes).toBe(mebibytes * MIB)
    expect(sha256).toBe(sent.sha256)
  })

  test.each(sizes)('$mebibytes MiB go to the world, over a $device', async ({ device, mebibytes }) => {
    const { sha256, received } = await server.upload(guestOn(device).namespace, mebibytes * MIB)
    expect(received.bytes).toBe(mebibytes * MIB)
    expect(sha256).toBe(received.sha256)
  })

  test('empty and tiny transfers are whole too', async () => {
    const { namespace } = guestOn('TAP')
    for (const bytes of [0, 1, 1459, 1460, 65_535]) {
      const down = await server.download(namespace, bytes)
      expect(down).toMatchObject({ sent: { bytes }, sha256: down.sent.sha256 })
      const up = await server.upload(namespace, bytes)
      expect(up).toMatchObject({ received: { bytes }, sha256: up.received.sha256 })
    }
  })
})
