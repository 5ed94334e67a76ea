// iperf3 through the engine, as anybody would try it first: TCP and UDP, both ways, both families, several streams.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { Iperf } from './support/iperf.ts'
import { FAMILIES, NetworkLab, WORLD } from './support/network-lab.ts'
import { TestEngine } from './support/test-engine.ts'

const MIB = 1024 * 1024
let lab: NetworkLab
let guest: Guest
let iperf: Iperf

beforeAll(async () => {
  lab = await NetworkLab.create()
  const engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  iperf = new Iperf(lab, lab.world)
})
afterAll(() => lab[Symbol.asyncDispose]())

describe.each(FAMILIES)('%s', (family) => {
  test.each([
    ['to the world', []],
    ['from the world', ['-R']],
    ['both ways at once', ['--bidir']],
    ['to the world in 8 streams', ['-P', '8']],
    ['from the world in 8 streams', ['-R', '-P', '8']],
  ])('TCP %s', async (_, options) => {
    const received = await iperf.run(guest.namespace, WORLD[family], '-n', '64M', ...options)
    // What is still under way when the client has sent all is not counted.
    expect(received.bytes).toBeGreaterThan(16 * MIB)
  })

  test.each([
    ['to the world', []],
    ['from the world', ['-R']],
    ['from the world in datagrams that are fragmented', ['-R', '-l', '8000']],
  ])('UDP %s', async (_, options) => {
    const received = await iperf.run(
      guest.namespace,
      WORLD[family],
      '-u',
      '-b',
      '40M',
      '-n',
      '4M',
      ...options,
    )
    expect(received.bytes).toBeGreaterThan(3 * MIB)
  })
})
