// The engine dies while guests run: what was open is reset as soon as somebody speaks, and everything new works at once.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { connectIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

let lab: NetworkLab
let engine: TestEngine
let guest: Guest
let other: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
  other = await engine.addGuest({ device: 'packet' })
  lab.use(
    await listenIn(lab.world, { address: WORLD.ipv4, port: 80 }, (socket) => {
      socket.pipe(socket)
    }),
  )
})
afterAll(() => lab[Symbol.asyncDispose]())

const world = { address: WORLD.ipv4, port: 80 }

test('killed: old connections are reset, new ones and pings work, published ports are there', async () => {
  await engine.publish({
    ...{ guest: guest.message.id, protocol: 'tcp', bind: HOST.ipv4, hostPort: 9090, guestPort: 90 },
  })
  await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: 90 }, (socket) =>
    socket.end('hello'),
  )
  const old: Socket[] = []
  for (const { namespace } of [guest, other]) {
    const client = connectIn(namespace, world)
    client.write('x')
    await once(client, 'data')
    old.push(client)
  }
  const resets = old.map((client) => once(client, 'error'))

  await engine.kill()
  await engine.start()

  for (const { namespace } of [guest, other]) {
    const client = connectIn(namespace, world)
    client.end('new')
    expect(String(await readToEnd(client))).toBe('new')
    expect(await namespace.run('ping', '-c', '1', '-W', '2', WORLD.ipv4)).toContain('1 received')
  }
  const published = connectIn(lab.world, { address: HOST.ipv4, port: 9090 })
  expect(String(await readToEnd(published))).toBe('hello')
  for (const client of old) client.write('is anybody there?')
  for (const [error] of await Promise.all(resets)) expect(error).toMatchObject({ code: 'ECONNRESET' })
})

test('a connection that is asked for while the engine is away is made when it is back', async () => {
  await engine.kill()
  const client = connectIn(guest.namespace, world)
  client.end('patience')
  await engine.start()
  expect(String(await readToEnd(client))).toBe('patience')
})

test('again and again, in the middle of transfers', async () => {
  for (let round = 0; round < 3; round++) {
    const flood = Array.from({ length: 4 }, () => {
      const client = connectIn(guest.namespace, world)
      client.on('error', () => undefined)
      client.resume()
      client.write(Buffer.alloc(64 * 1024 * 1024))
      return client
    })
    await Promise.all(flood.map((client) => once(client, 'data')))
    await engine.kill()
    await engine.start()
    const client = connectIn(guest.namespace, world)
    client.end('round')
    expect(String(await readToEnd(client))).toBe('round')
    for (const each of flood) each.destroy()
  }
})
