import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PassThrough } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connectCore } from '../client/core-client.ts'
import { archiveBuffer, exportSession } from '../runtime/archive-sessions.ts'
import { ByteRing, RingBudget } from '../runtime/broker/byte-ring.ts'
import { OutputStream } from '../runtime/broker/output-stream.ts'
import type { StreamSession } from '../runtime/broker/stream-session.ts'
import { GuestError } from '../runtime/errors.ts'
import { EventHub } from '../runtime/event-hub.ts'
import { type Handlers, serveRpc } from './rpc.ts'
import { CoreServer, type ServerOptions } from './server.ts'
import { Tickets } from './tickets.ts'

let folder: string
let socketPath: string
let tickets: Tickets
let events: EventHub
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'core-server-'))
  socketPath = join(folder, 'core.sock')
  tickets = new Tickets()
  events = new EventHub()
})
afterEach(() => {
  tickets.close()
  rmSync(folder, { recursive: true })
})

/** A server whose only methods are those given; asking for another fails the test. */
function start(handlers: Partial<Handlers> = {}, more: Partial<ServerOptions> = {}, role?: 'view') {
  return CoreServer.start({
    socketPath,
    version: '1.2.3',
    redeemTicket: (ticket) => tickets.redeem(ticket),
    serveRpc: (socket, given) =>
      serveRpc(socket, role ?? given, {
        handlers: handlers as Handlers,
        revision: () => events.revision,
        subscribe: (listener) => events.subscribe(listener),
        log: () => undefined,
      }),
    log: () => undefined,
    ...more,
  })
}

/** What the server answers to raw bytes, until it closes. */
function say(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(socketPath, () => socket.write(bytes))
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', () => resolve(answer))
  })
}

async function* nothing(): AsyncGenerator<never> {}

describe('CoreServer', () => {
  it('answers calls, and failures with their code and hint', async () => {
    const server = await start({
      'host.dmesg': () => ({ text: 'Xen' }),
      'guests.inspect': ({ guest }) => {
        throw new GuestError('guest.not-found', `No guest is called "${guest}"`, { hint: 'Look again.' })
      },
    })
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    expect(await client.request('host.dmesg', {})).toEqual({ text: 'Xen' })
    await expect(client.request('guests.inspect', { guest: 'web' })).rejects.toMatchObject({
      code: 'guest.not-found',
      message: 'No guest is called "web"',
      hint: 'Look again.',
    })
    client[Symbol.dispose]()
    await server.close()
  })

  it('refuses parameters that are not right, with the place in the sentence', async () => {
    const server = await start({})
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    await expect(client.request('guests.create', { image: 'x', memoryMiB: 1 })).rejects.toMatchObject({
      code: 'host.bad-parameters',
      message: expect.stringContaining('"memoryMiB"'),
    })
    client[Symbol.dispose]()
    await server.close()
  })

  it('lets one who may only look change nothing', async () => {
    const server = await start({ 'guests.list': () => [] }, {}, 'view')
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    expect(await client.request('guests.list', {})).toEqual([])
    await expect(client.request('guests.kill', { guest: 'web' })).rejects.toMatchObject({
      code: 'host.not-allowed',
    })
    client[Symbol.dispose]()
    await server.close()
  })

  it('aborts a call when its client goes away', async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>()
    const { promise: called, resolve: isCalled } = Promise.withResolvers<void>()
    const server = await start({
      'guests.wait': (_params, { signal }) => {
        isCalled()
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => {
            resolve()
            reject(signal.reason)
          })
        })
      },
    })
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    const waiting = client.request('guests.wait', { guest: 'web' }).catch(() => 'ended')
    await called
    client[Symbol.dispose]()
    await aborted
    expect(await waiting).toBe('ended')
    await server.close()
  })

  it.each([
    ['GET / HTTP/1.1\r\n\r\n', 'host.unknown-greeting'],
    ['rpc 2\n', 'host.unknown-greeting'],
    [`stream ${'0'.repeat(32)}\n`, 'stream.bad-ticket'],
    ['stream ../../etc/passwd\n', 'host.unknown-greeting'],
  ])('refuses a connection that begins with %j', async (greeting, code) => {
    const server = await start()
    expect(await say(greeting)).toMatch(new RegExp(`^refused \\{"code":"${code}"`))
    await server.close()
  })

  it('closes a connection whose first line does not end', async () => {
    const server = await start()
    expect(await say('x'.repeat(5000))).toBe('')
    await server.close()
  })

  it('is the only one on its socket, and takes over the socket of a dead one', async () => {
    const first = await start()
    await expect(start()).rejects.toMatchObject({ code: 'host.already-running' })
    await first.close()
    const second = await start()
    await second.close()
  })

  it("takes a lab's connections only with its token", async () => {
    const lab = { host: '127.0.0.1', port: 0, token: 'a'.repeat(64) }
    // A free port, taken by asking for one.
    const { createServer } = await import('node:net')
    lab.port = await new Promise((resolve) => {
      const probe = createServer().listen(0, '127.0.0.1', () => {
        const address = probe.address()
        probe.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
      })
    })
    const server = await start({}, { lab })
    const ask = (greeting: string) =>
      new Promise<string>((resolve) => {
        const socket = connect(lab.port, lab.host, () => socket.write(greeting))
        socket.once('data', (chunk) => {
          socket.destroy()
          resolve(chunk.toString())
        })
      })
    expect(await ask(`token ${lab.token}\nrpc 1\n`)).toMatch(/^ok \{"protocol":1,"version":"1\.2\.3"\}\n/)
    expect(await ask(`token ${'b'.repeat(64)}\nrpc 1\n`)).toMatch(/^refused \{"code":"host\.not-allowed"/)
    expect(await ask('rpc 1\n')).toMatch(/^refused/)
    await server.close()
  })

  it('knows the calls of one connection from those of another', async () => {
    const callers: object[] = []
    const server = await start({
      'jobs.leave': (_params, { caller }) => {
        callers.push(caller)
        return { ended: false }
      },
    })
    const target = { kind: 'socket', socketPath, label: 'the test' } as const
    const [one, other] = [await connectCore(target), await connectCore(target)]
    for (const client of [one, one, other]) await client.request('jobs.leave', { job: 'j' })
    expect(callers[1]).toBe(callers[0])
    expect(callers[2]).not.toBe(callers[0])
    one[Symbol.dispose]()
    other[Symbol.dispose]()
    await server.close()
  })

  it('sends events in order to those who asked', async () => {
    const server = await start()
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    const seen: number[] = []
    const { promise: three, resolve } = Promise.withResolvers<void>()
    client.onEvent(({ revision }) => {
      seen.push(revision)
      if (seen.length === 3) resolve()
    })
    expect(await client.request('events.subscribe', {})).toEqual({ revision: 0 })
    for (const reference of ['a', 'b', 'c']) events.publish({ type: 'image-removed', reference })
    await three
    expect(seen).toEqual([1, 2, 3])
    client[Symbol.dispose]()
    await server.close()
  })
})

describe('a stream connection', () => {
  function output(stream: number) {
    return new OutputStream({ stream, ring: new ByteRing(new RingBudget()) })
  }

  it('carries both outputs, the input and its end, resize, signal and the exit', async () => {
    const stdout = output(1)
    const stderr = output(2)
    const readers = [stdout, stderr].map((source) => source.openReader({ lossless: true, from: 'start' }))
    const said: string[] = []
    const exit = Promise.withResolvers<{
      reason: 'exited'
      code: number
      message: string
      finishedAt: string
    }>()
    const session: StreamSession = {
      kind: 'stdio',
      terminal: false,
      outputs: readers.map((reader) => reader.events()),
      consumed: (stream, offset) => readers[stream - 1]?.consume(offset),
      input: {
        write: async (bytes) => {
          stdout.append(bytes, 0)
        },
        end: () => {
          stderr.append(Buffer.from('end of input'), 0)
          stdout.end()
          stderr.end()
          exit.resolve({ reason: 'exited', code: 7, message: 'Done', finishedAt: '2026-01-01T00:00:00.000Z' })
        },
      },
      resize: (rows, columns) => said.push(`resize ${rows} ${columns}`),
      signal: (signal) => said.push(`signal ${signal}`),
      exit: exit.promise,
      close: () => said.push('closed'),
    }
    const server = await start()
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    const received = new Map<number, Buffer[]>()
    const stream = await client.openStream(tickets.issue(session), {
      data: (number, bytes, offset) => {
        const list = received.get(number) ?? []
        list.push(Buffer.from(bytes))
        received.set(number, list)
        stream.acknowledge(number, offset + bytes.length)
      },
    })
    stream.resize(40, 132)
    stream.signal(15)
    const input = Buffer.alloc(5_000_000, 'bulkhead')
    await stream.write(input)
    await stream.end()
    expect(await stream.finished).toMatchObject({ code: 7 })
    expect(Buffer.concat(received.get(1) ?? []).equals(input)).toBe(true)
    expect(Buffer.concat(received.get(2) ?? []).toString()).toBe('end of input')
    expect(said).toEqual(['resize 40 132', 'signal 15', 'closed'])
    client[Symbol.dispose]()
    await server.close()
  })

  it('of a terminal leaves its input open when the client goes away', async () => {
    const closed = Promise.withResolvers<void>()
    const said: string[] = []
    const screen = output(1).openReader({ lossless: false, from: 'start' })
    const session: StreamSession = {
      kind: 'stdio',
      terminal: true,
      outputs: [screen.events()],
      consumed: () => undefined,
      input: {
        write: async (bytes) => void said.push(Buffer.from(bytes).toString()),
        end: () => said.push('end of input'),
      },
      exit: new Promise(() => undefined),
      close: () => {
        screen.close()
        closed.resolve()
      },
    }
    const server = await start()
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    const stream = await client.openStream(tickets.issue(session))
    await stream.write(Buffer.from('typed'))
    stream.close()
    await closed.promise
    expect(said).toEqual(['typed'])
    client[Symbol.dispose]()
    await server.close()
  })

  it('of an export is lossless however slow its client, and fails with the reason', async () => {
    const server = await start()
    const client = await connectCore({ kind: 'socket', socketPath, label: 'the test' })
    const job = { isOver: () => false, cancel: () => undefined }
    const receive = async (archive: PassThrough, delay: () => Promise<void>) => {
      const received: Buffer[] = []
      const stream = await client.openStream(tickets.issue(exportSession(archive, job)), {
        data: async (number, bytes, offset) => {
          received.push(Buffer.from(bytes))
          await delay()
          stream.acknowledge(number, offset + bytes.length)
        },
      })
      await stream.finished
      return Buffer.concat(received)
    }
    const content = Buffer.alloc(5_000_000, 'bulkhead')
    const whole = archiveBuffer()
    whole.end(content)
    expect((await receive(whole, () => new Promise(setImmediate))).equals(content)).toBe(true)
    const broken = archiveBuffer()
    broken.write('some')
    broken.destroy(new GuestError('oci.corrupt-store', 'A blob is damaged', { hint: 'Check the store.' }))
    await expect(receive(broken, async () => undefined)).rejects.toMatchObject({
      code: 'oci.corrupt-store',
      message: 'A blob is damaged',
      hint: 'Check the store.',
    })
    client[Symbol.dispose]()
    await server.close()
  })

  it('is closed with a reason when the client breaks the contract', async () => {
    const session: StreamSession = {
      kind: 'stdio',
      terminal: false,
      outputs: [nothing()],
      exit: new Promise(() => undefined),
      consumed: () => undefined,
      close: () => undefined,
    }
    const server = await start()
    const answer = await say(`stream ${tickets.issue(session)}\n${'\u0063'.repeat(20)}`)
    expect(answer).toContain('stream.protocol')
    await server.close()
  })

  it('whose ticket nobody redeems is closed', () => {
    let closed = false
    tickets.issue({
      kind: 'logs',
      terminal: false,
      outputs: [],
      consumed: () => undefined,
      close: () => {
        closed = true
      },
    })
    tickets.close()
    expect(closed).toBe(true)
  })
})
