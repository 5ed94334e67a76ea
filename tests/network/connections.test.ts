// Many connections, opened and closed one after the other by the thousand. (10 000 idle ones: krata-faults.test.ts, F7.)
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { LoadGenerator } from './support/load-generator.ts'
import { FAMILIES, type Family, NetworkLab, WORLD } from './support/network-lab.ts'
import { openDescriptors } from './support/process-cost.ts'
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
