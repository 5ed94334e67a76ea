// The engine dies while guests run: what was open is reset as soon as somebody speaks, and everything new works at once.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Guest } from './support/guest.ts'
import { FAMILIES, HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import type { Program } from './support/program.ts'
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
  for (const family of FAMILIES)
    lab.use(
      await listenIn(lab.world, { address: WORLD[family], port: 81 }, (socket) => {
        socket.write(beginning)
      }),
    )
})
afterAll(() => lab[Symbol.asyncDispose]())

/** Starts to answer a request and then says nothing more: whoever downloads only waits. */
const beginning = Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${1 << 30}\r\n\r\nthe beginning\n`)

async function downloads(): Promise<Program[]> {
  const programs: Program[] = []
  for (const { namespace } of [guest, other])
    for (const family of FAMILIES) {
      const host = family === 'ipv4' ? WORLD.ipv4 : `[${WORLD.ipv6}]`
      const program = lab.use(namespace.start('curl', '-sSN', '--globoff', `http://${host}:81/`))
      await program.lineWith('the beginning')
      programs.push(program)
    }
  return programs
}

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

test('killed in downloads: who only receives is told too, in both families and on both devices', async () => {
  const programs = await downloads()
  await engine.kill()
  await engine.start()
  // 56: failure in receiving network data.
  for (const program of programs) {
    const { code, stderr } = await program.end
    expect(`${code} ${stderr}`).toMatch(/^56 .*reset by peer/)
  }
})

test('killed twice before a guest is back: it is told all the same', async () => {
  const programs = await downloads()
  await engine.kill()
  await engine.start({ guests: false })
  await engine.kill()
  await engine.start()
  for (const program of programs) expect(await program.end).toMatchObject({ code: 56 })
})

test('killed in full flow: a large download ends, and with an error', async () => {
  await using _ = await listenIn(lab.world, { address: WORLD.ipv4, port: 82 }, (socket) => {
    socket.write(beginning)
    const flood = () => {
      while (!socket.destroyed && socket.write(Buffer.alloc(1 << 20)));
    }
    socket.on('drain', flood)
    flood()
  })
  const program = lab.use(
    guest.namespace.start('curl', '-sSN', '--limit-rate', '1M', `http://${WORLD.ipv4}:82/`),
  )
  await program.lineWith('the beginning')
  await engine.kill()
  await engine.start()
  expect(await program.end).toMatchObject({ code: 56 })
})

test('killed under connections on which nobody speaks: both ends learn of it; so do guests with servers', async () => {
  await engine.publish({
    ...{ guest: guest.message.id, protocol: 'tcp', bind: HOST.ipv4, hostPort: 9022, guestPort: 22 },
  })
  const served = Promise.withResolvers<Socket>()
  await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: 22 }, (socket) => {
    socket.write('SSH-2.0-guest\r\n')
    served.resolve(socket)
  })
  const inbound = connectIn(lab.world, { address: HOST.ipv4, port: 9022 })
  await once(inbound, 'data')
  const server = await served.promise
  const idle = FAMILIES.map((family) => connectIn(other.namespace, { address: WORLD[family], port: 81 }))
  await Promise.all(idle.map((client) => once(client, 'data')))
  const ends = [server, ...idle].map((socket) => once(socket, 'error'))
  const clientEnd = Promise.race([once(inbound, 'error'), once(inbound, 'end')])
  server.resume()
  inbound.resume()

  await engine.kill()
  await engine.start()

  for (const [error] of await Promise.all(ends)) expect(error).toMatchObject({ code: 'ECONNRESET' })
  await clientEnd
})

test('ended in order: guests that only receive and the servers are reset, with no other engine to come', async () => {
  const hung = Promise.withResolvers<Socket>()
  await using _ = await listenIn(lab.world, { address: WORLD.ipv4, port: 83 }, (socket) => {
    socket.write('hello')
    hung.resolve(socket)
  })
  const client = connectIn(guest.namespace, { address: WORLD.ipv4, port: 83 })
  await once(client, 'data')
  const server = await hung.promise
  const ends = [once(client, 'error'), once(server, 'error')]
  client.resume()
  server.resume()
  await engine.end()
  for (const [error] of await Promise.all(ends)) expect(error).toMatchObject({ code: 'ECONNRESET' })
  await engine.start()
})
