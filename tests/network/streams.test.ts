// How TCP connections live and end through the engine: halves that close on their own, readers that stop, resets, and
// connections that do not come about.
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ContentServer } from './support/content.ts'
import type { Guest } from './support/guest.ts'
import { FAMILIES, NetworkLab, WORLD } from './support/network-lab.ts'
import { residentBytes } from './support/process-cost.ts'
import { connectIn, listenIn, readToEnd } from './support/sockets.ts'
import { TestEngine } from './support/test-engine.ts'

const MIB = 1024 * 1024
let lab: NetworkLab
let engine: TestEngine
let guest: Guest

beforeAll(async () => {
  lab = await NetworkLab.create()
  engine = await TestEngine.start(lab)
  guest = await engine.addGuest()
})
afterAll(() => lab[Symbol.asyncDispose]())

/** The next connection that a server of the world accepts, and the guest's end of it. */
async function connection(family: 'ipv4' | 'ipv6' = 'ipv4') {
  const accepted = Promise.withResolvers<Socket>()
  const place = { address: WORLD[family], port: 7000 }
  const server = await listenIn(lab.world, place, accepted.resolve)
  const inGuest = connectIn(guest.namespace, place, { allowHalfOpen: true })
  const inWorld = await accepted.promise
  return {
    inGuest,
    inWorld,
    async [Symbol.asyncDispose]() {
      inGuest.destroy()
      inWorld.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

describe.each(FAMILIES)('half-close, %s', (family) => {
  test('the guest ends first and still gets 4 MiB', async () => {
    await using both = await connection(family)
    both.inGuest.end('all I have to say')
    expect(await text(both.inWorld)).toBe('all I have to say')
    both.inWorld.end(Buffer.alloc(4 * MIB, 'w'))
    expect((await readToEnd(both.inGuest)).equals(Buffer.alloc(4 * MIB, 'w'))).toBe(true)
  })

  test('the world ends first and still gets 4 MiB', async () => {
    await using both = await connection(family)
    both.inWorld.end('all I have to say')
    expect(await text(both.inGuest)).toBe('all I have to say')
    both.inGuest.end(Buffer.alloc(4 * MIB, 'g'))
    expect((await readToEnd(both.inWorld)).equals(Buffer.alloc(4 * MIB, 'g'))).toBe(true)
  })

  // By socat at both ends: where both halves are closed, Node drops what it has not read yet (libuv takes a hang-up after
  // a short read for the end), also without an engine in between.
  test('both end at once, each with 4 MiB under way', async () => {
    const place = family === 'ipv6' ? `[${WORLD.ipv6}]:7003` : `${WORLD.ipv4}:7003`
    const family6 = family === 'ipv6' ? ',pf=ip6' : ''
    const socat = (letter: string, address: string) =>
      `yes ${letter} | head -c ${4 * MIB} | socat -t 60 - ${address} | sha256sum`
    const ends = [
      lab.world.run('bash', '-c', socat('w', `TCP-LISTEN:7003,reuseaddr${family6}`)),
      guest.namespace.run('bash', '-c', socat('g', `TCP:${place},retry=100,interval=0.05`)),
    ]
    const sum = (letter: string) =>
      createHash('sha256')
        .update(Buffer.alloc(4 * MIB, `${letter}\n`))
        .digest('hex')
    const [inWorld, inGuest] = (await Promise.all(ends)).map((line) => line.split(' ')[0])
    expect({ inWorld, inGuest }).toEqual({ inWorld: sum('g'), inGuest: sum('w') })
  })
})

test('`socat` ends its input and waits for the answer', async () => {
  const place = { address: WORLD.ipv4, port: 7001 }
  await using _ = await listenIn(lab.world, place, async (socket) => {
    socket.end(`${(await readToEnd(socket)).length} bytes`)
  })
  const command = `head -c 3000000 /dev/zero | socat -t 30 - TCP:${place.address}:${place.port}`
  expect(await guest.namespace.run('sh', '-c', command)).toBe('3000000 bytes')
})

describe('resets', () => {
  test("the world's reset arrives at the guest", async () => {
    await using both = await connection()
    both.inGuest.resume()
    const failed = once(both.inGuest, 'error')
    both.inWorld.resetAndDestroy()
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
  })

  test("the guest's reset arrives in the world", async () => {
    await using both = await connection()
    both.inWorld.resume()
    const failed = once(both.inWorld, 'error')
    both.inGuest.resetAndDestroy()
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
  })

  test('a guest that is taken away resets its connections', async () => {
    const leaving = await engine.addGuest()
    const accepted = Promise.withResolvers<Socket>()
    const place = { address: WORLD.ipv4, port: 7002 }
    await using _ = await listenIn(lab.world, place, accepted.resolve)
    const client = connectIn(leaving.namespace, place)
    client.on('error', () => undefined)
    const inWorld = await accepted.promise
    inWorld.resume()
    const failed = once(inWorld, 'error')
    await engine.removeGuest(leaving.message.id)
    expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
    client.destroy()
  })
})

describe('a reader that stops', () => {
  test('in the guest: the engine keeps no more than its windows, and all arrives in the end', async () => {
    await using server = await ContentServer.start(lab.world, { address: WORLD.ipv4, port: 8080 })
    const before = residentBytes(engine.pid)
    const readers = Array.from({ length: 8 }, () =>
      guest.namespace.start(
        ...['bash', '-c', `exec curl -sS --fail -o >(sha256sum) http://${WORLD.ipv4}:8080/${64 * MIB}`],
      ),
    )
    for (const reader of readers) reader.signal('SIGSTOP')
    await untilStill(async () => (await engine.client.stats()).guests[0]?.inBytes ?? 0)
    expect(residentBytes(engine.pid) - before).toBeLessThan(64 * MIB)
    for (const reader of readers) reader.signal('SIGCONT')
    const sums = await Promise.all(readers.map(async (reader) => (await reader.output()).split(' ')[0]))
    expect(new Set(sums).size).toBe(1)
    await using _ = server
  })

  test('in the world: the guest is made to wait, and all arrives in the end', async () => {
    const before = residentBytes(engine.pid)
    const all = await Promise.all(Array.from({ length: 8 }, () => connectionThatWaits()))
    await untilStill(async () => (await engine.client.stats()).guests[0]?.outBytes ?? 0)
    expect(residentBytes(engine.pid) - before).toBeLessThan(64 * MIB)
    for (const { finish } of all) await finish()
  })

  let port = 7100
  async function connectionThatWaits() {
    const accepted = Promise.withResolvers<Socket>()
    const place = { address: WORLD.ipv4, port: ++port }
    const server = await listenIn(lab.world, place, (socket) => accepted.resolve(socket.pause()))
    const sent = Buffer.alloc(32 * MIB, port)
    const client = connectIn(guest.namespace, place)
    client.end(sent)
    const inWorld = await accepted.promise
    return {
      finish: async () => {
        expect((await readToEnd(inWorld)).equals(sent)).toBe(true)
        await server[Symbol.asyncDispose]()
      },
    }
  }
})

/** Resolves when a figure that grows has not grown from one look to the next. */
async function untilStill(figure: () => Promise<number>): Promise<void> {
  for (let last = -1, now = await figure(); now !== last; ) {
    last = now
    await new Promise((resolve) => setTimeout(resolve, 300))
    now = await figure()
  }
}
