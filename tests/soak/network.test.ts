// The network for longer than every `npm test` can wait: a reader that stops for a minute, minutes of full streams, and an
// engine that is killed over and over. BULKHEAD_SOAK_IPERF_SECONDS and BULKHEAD_SOAK_RESTARTS say how long.
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContentServer } from '../network/support/content.ts'
import type { Guest } from '../network/support/guest.ts'
import { Iperf } from '../network/support/iperf.ts'
import { FAMILIES, NetworkLab, WORLD } from '../network/support/network-lab.ts'
import { cpuTicks, openDescriptors, residentBytes } from '../network/support/process-cost.ts'
import { connectIn, listenIn, readToEnd } from '../network/support/sockets.ts'
import { TestEngine } from '../network/support/test-engine.ts'

const MIB = 1024 * 1024
const IPERF_SECONDS = Number(process.env.BULKHEAD_SOAK_IPERF_SECONDS ?? 600)
const RESTARTS = Number(process.env.BULKHEAD_SOAK_RESTARTS ?? 50)
let lab: NetworkLab
let engine: TestEngine
let guest: Guest
let onPacketSocket: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  onPacketSocket = await engine.addGuest({ device: 'packet' })
})
afterAll(() => lab[Symbol.asyncDispose]())

describe.each(FAMILIES)('%s', (family) => {
  test('20 readers stop for a minute: memory stays, the processor rests, and all arrives', {
    timeout: 240_000,
  }, async () => {
    await using _ = await ContentServer.start(lab.world, { address: WORLD[family], port: 8080 })
    const host = family === 'ipv6' ? `[${WORLD.ipv6}]` : WORLD.ipv4
    const before = residentBytes(engine.pid)
    const command = `exec curl --globoff -sS --fail -o >(sha256sum) http://${host}:8080/${64 * MIB}`
    const readers = Array.from({ length: 20 }, () => guest.namespace.start('bash', '-c', command))
    for (const reader of readers) reader.signal('SIGSTOP')
    await seconds(5)
    const ticks = cpuTicks(engine.pid)
    await seconds(60)
    // Probes of closed windows, and nothing else: a second of processor time would be 100 ticks.
    expect(cpuTicks(engine.pid) - ticks).toBeLessThan(100)
    expect(residentBytes(engine.pid) - before).toBeLessThan(96 * MIB)
    for (const reader of readers) reader.signal('SIGCONT')
    const sums = await Promise.all(readers.map(async (reader) => (await reader.output()).split(' ')[0]))
    expect(new Set(sums).size).toBe(1)
  })
})

test(`${IPERF_SECONDS} seconds of streams both ways do not stall and do not grow`, {
  timeout: IPERF_SECONDS * 1000 + 120_000,
}, async () => {
  const iperf = new Iperf(lab, lab.world)
  const streams = ['--bidir', '-P', '4', '-i', '5'] as const
  await iperf.run(guest.namespace, WORLD.ipv4, '-t', '5', ...streams)
  const before = residentBytes(engine.pid)
  const { intervals } = await iperf.run(guest.namespace, WORLD.ipv4, '-t', String(IPERF_SECONDS), ...streams)
  expect(intervals.length).toBeGreaterThanOrEqual(Math.floor(IPERF_SECONDS / 5))
  expect(Math.min(...intervals)).toBeGreaterThan(0)
  expect(residentBytes(engine.pid) - before).toBeLessThan(64 * MIB)
})

test(`${RESTARTS} restarts in the middle of traffic`, { timeout: RESTARTS * 10_000 }, async () => {
  const place = { address: WORLD.ipv4, port: 80 }
  await using _ = await listenIn(lab.world, place, (socket) => socket.pipe(socket))
  for (let round = 0; round < RESTARTS; round++) {
    const flood = [guest, onPacketSocket].map(({ namespace }) => {
      const client = connectIn(namespace, place)
      client.on('error', () => undefined)
      client.resume()
      client.write(Buffer.alloc(16 * MIB))
      return client
    })
    await Promise.all(flood.map((client) => once(client, 'data')))
    await engine.kill()
    await engine.start()
    for (const { namespace } of [guest, onPacketSocket]) {
      const client = connectIn(namespace, place)
      client.end('round')
      expect(String(await readToEnd(client))).toBe('round')
    }
    for (const client of flood) client.destroy()
  }
  expect(openDescriptors(process.pid)).toBeLessThan(200)
})

function seconds(count: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, count * 1000))
}
