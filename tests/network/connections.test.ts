// Many connections: opened and closed one after the other by the thousand, and held idle by the ten thousand.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { LoadGenerator } from './support/load-generator.ts'
import { FAMILIES, type Family, NetworkLab, WORLD } from './support/network-lab.ts'
import { cpuTicks, openDescriptors, residentBytes } from './support/process-cost.ts'
import { TestEngine } from './support/test-engine.ts'

const target = (family: Family) => ({ address: WORLD[family], port: 7001 })
let lab: NetworkLab
let engine: TestEngine
let guest: Guest
let load: LoadGenerator

beforeAll(async () => {
  load = await LoadGenerator.compile()
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  for (const family of FAMILIES) lab.use(await load.serve(lab.world, target(family)))
})
afterAll(async () => {
  await lab[Symbol.asyncDispose]()
  load[Symbol.dispose]()
})

describe.each(FAMILIES)('%s', (family) => {
  test('5000 short connections all work', async () => {
    const { done, failed } = await load.connections(guest.namespace, target(family), {
      count: 5000,
      processes: 4,
    })
    expect({ done, failed }).toEqual({ done: 5000, failed: 0 })
  })

  test('thousands of datagrams are echoed', async () => {
    const { answers } = await load.datagrams(guest.namespace, target(family), { seconds: 1, sizeBytes: 64 })
    expect(answers).toBeGreaterThan(1000)
  })
})

test('closed connections leave nothing behind', async () => {
  const before = openDescriptors(engine.pid)
  await load.connections(guest.namespace, target('ipv4'), { count: 2000, processes: 4 })
  await expect.poll(() => openDescriptors(engine.pid), { timeout: 20_000 }).toBeLessThan(before + 20)
})

test('10 000 idle connections cost no processor time and little memory, and are alive (krata fault F7)', async () => {
  const before = residentBytes(engine.pid)
  await using connections = await load.idle(guest.namespace, target('ipv4'), 10_000)
  expect(connections.open).toBe(10_000)
  expect((await engine.client.stats()).guests[0]?.tcpFlows).toBeGreaterThanOrEqual(10_000)
  // 100 MiB are 10 KiB for each; a buffer of a window for each would be 10 GiB.
  expect(residentBytes(engine.pid) - before).toBeLessThan(100 * 1024 * 1024)
  // A loop that finds something to do for each of them, or never sleeps, takes most of a second's 100 ticks.
  const ticks = cpuTicks(engine.pid)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  expect(cpuTicks(engine.pid) - ticks).toBeLessThan(20)
  expect(await connections.alive()).toBe(10_000)
})
