import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, PassThrough } from 'node:stream'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { defaultLimits, defaultSettings } from '../settings.ts'
import { encodeName } from './answer.ts'
import { DnsForwarder, type DnsForwarderOptions } from './dns-forwarder.ts'
import { readHeader } from './message.ts'

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-forwarder-'))
afterAll(() => rmSync(folder, { recursive: true }))
const unlimited = {
  ...defaultSettings,
  limits: { ...defaultLimits, dnsPerSecond: 1e9, dnsOutstanding: 1e6 },
}
const guest = {
  id: 'id',
  name: 'web',
  ipv4: '10.75.3.4',
  ipv6: 'fdd4:1476:6c7e::a4b:304',
  mayMeetGuests: true,
}

let forwarder: DnsForwarder | undefined
afterEach(() => forwarder?.[Symbol.dispose]())
const log = vi.fn<(message: string) => void>()

function make(options: Partial<DnsForwarderOptions> = {}): DnsForwarder {
  forwarder = new DnsForwarder({
    settings: unlimited,
    log,
    resolvConf: join(folder, 'none'),
    ...options,
  })
  forwarder.setGuest(guest)
  return forwarder
}

function queryFor(name: string, id: number): Buffer {
  const header = Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([header, encodeName(name), Buffer.from([0, 1, 0, 1])])
}

function ask(asked: DnsForwarder, bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve) => asked.query(guest.id, bytes, resolve))
}

describe('DnsForwarder', () => {
  it('answers or drops whatever a guest sends, and answers the next query', async () => {
    const asked = make()
    const random = generator(7)
    const whole = queryFor('web.guest', 1)
    let answers = 0
    for (let round = 0; round < 20_000; round++) {
      const mutated = Buffer.from(
        whole.subarray(0, random() % 5 === 0 ? random() % whole.length : whole.length),
      )
      for (let count = random() % 3; count > 0; count--) {
        if (mutated.length > 0) mutated[random() % mutated.length] = random() & 255
      }
      asked.query(guest.id, mutated, (answer) => {
        answers++
        expect(readHeader(answer)?.id).toBe(mutated.readUInt16BE(0))
      })
    }
    expect((await ask(asked, queryFor('web.guest', 9))).at(-1)).toBe(4)
    expect(answers).toBeGreaterThan(10_000)
    expect(log.mock.calls.filter(([message]) => message.startsWith('Cannot answer'))).toEqual([])
  })

  it('takes a good answer after any number of broken ones', async () => {
    const server = createSocket('udp4')
    const random = generator(11)
    server.on('message', (query, client) => {
      const good = Buffer.concat([
        query,
        Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 10]),
      ])
      good.writeUInt16BE(0x8180, 2)
      good.writeUInt16BE(1, 6)
      for (let count = 0; count < 5; count++) {
        const broken = Buffer.from(good.subarray(0, random() % 12))
        server.send(broken, client.port, client.address)
        const other = Buffer.from(good)
        other[12 + (random() % 10)] = 0xc0 | (random() & 0x3f)
        server.send(other, client.port, client.address)
      }
      server.send(good, client.port, client.address)
    })
    server.bind(0, '127.0.0.1')
    await once(server, 'listening')
    writeFileSync(join(folder, 'resolv.conf'), 'nameserver 127.0.0.1\n')
    const asked = make({ resolvConf: join(folder, 'resolv.conf'), upstreamPort: server.address().port })
    for (let id = 0; id < 100; id++) {
      const answer = await ask(asked, queryFor('www.example.org', id))
      expect(readHeader(answer)).toMatchObject({ id, answers: 1 })
      expect([...answer.subarray(-4)]).toEqual([192, 0, 2, 10])
    }
    server.close()
  })

  it('does not read on from a client that reads no answers', async () => {
    const asked = make()
    const socket = new NeverRead()
    asked.serveStream(guest.id, socket)
    const one = queryFor('web.guest', 1)
    const many = Buffer.concat(Array<Buffer>(1000).fill(Buffer.concat([Uint8Array.of(0, one.length), one])))
    const before = asked.counters(guest.id)
    for (let count = 0; count < 20; count++) socket.push(many)
    await vi.waitFor(() => expect(socket.writableLength).toBeGreaterThan(128 * 1024))
    const asOf = { ...asked.counters(guest.id) }
    expect(asOf.queries).toBeLessThan(20_000)
    expect(socket.writableLength).toBeLessThan(256 * 1024)
    await new Promise((resolve) => setImmediate(resolve))
    expect(before).toMatchObject(asOf)
    socket.destroy()
  })

  it('knows nobody but the guests it was told of', () => {
    const asked = make()
    const reply = vi.fn()
    asked.query('other', queryFor('web.guest', 1), reply)
    const socket = new PassThrough()
    asked.serveStream('other', socket)
    expect(socket.destroyed).toBe(true)
    expect(reply).not.toHaveBeenCalled()
    expect(asked.counters('other')).toBeUndefined()
  })
})

/** A client's connection whose answers nobody takes. */
class NeverRead extends Duplex {
  override _read(): void {}
  override _write(): void {}
}

/** Whole numbers below 2^31, the same for each seed (Park and Miller's). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state
  }
}
