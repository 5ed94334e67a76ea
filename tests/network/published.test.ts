// Published ports: from the world and from the host into a guest, with the client's own address, while everything runs.
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeSocketPair } from '../../core/sys/socket-pair.ts'
import { ContentServer } from './support/content.ts'
import { GATEWAY, type Guest } from './support/guest.ts'
import { FAMILIES, HOST, NetworkLab, WORLD } from './support/network-lab.ts'
import { connectIn, datagramsIn, fromDescriptor, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const LOOPBACK = { ipv4: '127.0.0.1', ipv6: '::1' } as const
const ANY = { ipv4: '0.0.0.0', ipv6: '::' } as const
let lab: NetworkLab
let engine: TestEngine
let guest: Guest
let lastPort = 9000

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
})
afterAll(() => lab[Symbol.asyncDispose]())

/** Tells whoever connects who it is. */
function tellWhoItIs(socket: Socket): void {
  socket.resume()
  socket.end(`${socket.remoteAddress?.replace('::ffff:', '')} ${socket.remotePort}`)
}

function publishTcp(bind: string, guestPort: number, hostPort = ++lastPort) {
  const port = { guest: guest.message.id, protocol: 'tcp', bind, hostPort, guestPort } as const
  return engine.publish(port).then(() => port)
}

describe.each(FAMILIES)('%s', (family) => {
  test('a client of the world is seen with its own address and port', async () => {
    await using _ = await listenIn(guest.namespace, { address: ANY[family], port: 80 }, tellWhoItIs)
    const { hostPort } = await publishTcp(HOST[family], 80)
    const from = { address: WORLD[family], port: 33_333 }
    const client = connectIn(lab.world, { address: HOST[family], port: hostPort }, { from })
    expect(String(await readToEnd(client))).toBe(`${WORLD[family]} 33333`)
  })

  test('a client on the host itself is seen as the gateway', async () => {
    await using _ = await listenIn(guest.namespace, { address: ANY[family], port: 81 }, tellWhoItIs)
    const { hostPort } = await publishTcp(LOOPBACK[family], 81)
    const client = connectIn(lab.host, { address: LOOPBACK[family], port: hostPort })
    expect(String(await readToEnd(client))).toMatch(new RegExp(`^${GATEWAY[family]} \\d+$`))
  })

  test('a port where no program of the guest listens is reset', async () => {
    const { hostPort } = await publishTcp(HOST[family], 82)
    const client = connectIn(lab.world, { address: HOST[family], port: hostPort })
    await expect(readToEnd(client)).rejects.toThrow('ECONNRESET')
  })

  test('32 MiB come out of a guest and go into it', async () => {
    await using server = await ContentServer.start(guest.namespace, {
      address: guest.message[family],
      port: 8080,
    })
    const { hostPort } = await publishTcp(HOST[family], 8080)
    const host = family === 'ipv6' ? `[${HOST.ipv6}]` : HOST.ipv4
    const url = `http://${host}:${hostPort}`
    const down = await server.download(lab.world, 32 * 1024 * 1024, url)
    expect(down.sha256).toBe(down.sent.sha256)
    expect(down.sent.client).toContain(WORLD[family])
    const up = await server.upload(lab.world, 32 * 1024 * 1024, url)
    expect(up.sha256).toBe(up.received.sha256)
  })

  test('datagrams come with their sender, and answers go back to it', async () => {
    await using server = await datagramsIn(guest.namespace, { address: guest.message[family], port: 53 })
    server.on('message', (message, { address, port }) =>
      server.send(`${message} ${address} ${port}`, port, address),
    )
    const hostPort = ++lastPort
    await engine.publish({
      ...{ guest: guest.message.id, protocol: 'udp', bind: HOST[family], hostPort, guestPort: 53 },
    })
    await using client = await datagramsIn(lab.world, { address: WORLD[family], port: 4444 })
    for (const text of ['one', 'two']) {
      client.send(text, hostPort, HOST[family])
      const [answer, sender] = await once(client, 'message')
      expect(String(answer)).toBe(`${text} ${WORLD[family]} 4444`)
      expect(sender).toMatchObject({ address: HOST[family], port: hostPort })
    }
  })
})

test('a port that was taken back is closed, and connections through it go on', async () => {
  await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: 83 }, (socket) =>
    socket.pipe(socket),
  )
  const port = await publishTcp(HOST.ipv4, 83)
  const client = connectIn(lab.world, { address: HOST.ipv4, port: port.hostPort })
  client.write('before ')
  expect(String((await once(client, 'data'))[0])).toBe('before ')
  await engine.unpublish(port)
  await expect(readToEnd(connectIn(lab.world, { address: HOST.ipv4, port: port.hostPort }))).rejects.toThrow(
    'ECONNREFUSED',
  )
  client.end('after')
  expect(String(await readToEnd(client))).toBe('after')
})

test("a guest reaches another guest's published port through the gateway's own ways only", async () => {
  await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: 84 }, tellWhoItIs)
  const { hostPort } = await publishTcp(HOST.ipv4, 84)
  const other = await engine.addGuest()
  await expect(readToEnd(connectIn(other.namespace, { address: HOST.ipv4, port: hostPort }))).rejects.toThrow(
    /ECONNREFUSED|EHOSTUNREACH|EACCES|ECONNRESET/,
  )
  const direct = connectIn(other.namespace, { address: guest.message.ipv4, port: 84 })
  expect(String(await readToEnd(direct))).toContain(other.message.ipv4)
})

test('`connect` joins a stream to a port of the guest, or says that nobody is there', async () => {
  await using _ = await listenIn(guest.namespace, { address: '0.0.0.0', port: 85 }, tellWhoItIs)
  const [mine, theirs] = makeSocketPair()
  await engine.client.connectPort(guest.message.id, 85, theirs)
  using stream = fromDescriptor(mine, theirs)
  expect(String(await readToEnd(stream.socket))).toMatch(new RegExp(`^${GATEWAY.ipv4} \\d+$`))
  const [unused, refused] = makeSocketPair()
  await expect(engine.client.connectPort(guest.message.id, 86, refused)).rejects.toMatchObject({
    code: 'net.unreachable',
  })
  fromDescriptor(unused, refused)[Symbol.dispose]()
})
