// Guests to each other: routed by the engine, whole, and only where both may.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContentServer } from './support/content.ts'
import type { Guest } from './support/guest.ts'
import { Iperf } from './support/iperf.ts'
import { FAMILIES, NetworkLab } from './support/network-lab.ts'
import { connectIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const MIB = 1024 * 1024
let lab: NetworkLab
let engine: TestEngine
let one: Guest
let other: Guest
let plain: Guest
let lonely: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  one = await engine.addGuest()
  other = await engine.addGuest({ device: 'packet' })
  plain = await engine.addGuest({ offloads: false })
  lonely = await engine.addGuest({ guests: false })
})
afterAll(() => lab[Symbol.asyncDispose]())

describe.each(FAMILIES)('%s', (family) => {
  test.each([
    ['with offloads', () => other],
    ['without offloads', () => plain],
  ])('128 MiB each way between guests, the other %s', async (_, pick) => {
    const server = pick()
    await using content = await ContentServer.start(server.namespace, {
      address: server.message[family],
      port: 8080,
    })
    const down = await content.download(one.namespace, 128 * MIB)
    expect(down.sha256).toBe(down.sent.sha256)
    expect(down.sent.client).toContain(one.message[family])
    const up = await content.upload(one.namespace, 128 * MIB)
    expect(up.sha256).toBe(up.received.sha256)
  })

  test('pings pass, one hop further away', async () => {
    const said = await one.namespace.run('ping', '-c', '3', '-i', '0.05', other.message[family])
    expect(said).toContain('3 received')
    expect(said).toContain('ttl=63')
  })

  test.each([
    ['by it', () => ({ from: lonely, to: one })],
    ['to it', () => ({ from: one, to: lonely })],
  ])('nothing passes %s where a guest is to meet no others', async (_, pick) => {
    const { from, to } = pick()
    await using _server = await listenIn(to.namespace, { address: to.message[family], port: 80 }, (socket) =>
      socket.end('hello'),
    )
    const client = connectIn(from.namespace, { address: to.message[family], port: 80 })
    await expect(readToEnd(client)).rejects.toThrow(/EACCES|EHOSTUNREACH|ECONNREFUSED|ECONNRESET/)
    const { stdout } = await from.namespace.start('ping', '-c', '1', '-W', '1', to.message[family]).end
    expect(stdout).toContain('0 received')
  })

  test('an address that no guest has is said to be unreachable', async () => {
    const nobody = family === 'ipv4' ? '10.75.200.200' : 'fdd4:1476:6c7e::a4b:c8c8'
    await expect(readToEnd(connectIn(one.namespace, { address: nobody, port: 80 }))).rejects.toThrow(
      /EHOSTUNREACH|ENETUNREACH|ECONNREFUSED/,
    )
  })
})

test('streams in both directions at once between two guests', async () => {
  const iperf = new Iperf(lab, other.namespace)
  const { bytes } = await iperf.run(one.namespace, other.message.ipv4, '-n', '256M', '--bidir')
  expect(bytes).toBeGreaterThan(200 * MIB)
})
