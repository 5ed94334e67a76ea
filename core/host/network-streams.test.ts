import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, it } from 'vitest'
import { connectCore } from '../client/core-client.ts'
import type { CoreStream } from '../client/core-stream.ts'
import type { StreamSession } from '../runtime/broker/stream-session.ts'
import { captureSession, portSession } from '../runtime/network/socket-sessions.ts'
import { makeSocketPair } from '../sys/socket-pair.ts'
import type { Handlers } from './rpc.ts'
import { serveRpc } from './rpc.ts'
import { CoreServer } from './server.ts'
import { Tickets } from './tickets.ts'

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})

interface Joined {
  readonly stream: CoreStream
  /** The network engine's end. */
  readonly engine: Socket
  readonly received: () => string
  /** Resolves when the other side has ended its direction. */
  readonly outputEnd: Promise<void>
}

/** A client's stream to a session, by a real core socket. */
async function joined(make: (fd: number) => StreamSession): Promise<Joined> {
  const folder = mkdtempSync(join(tmpdir(), 'core-streams-'))
  stack.defer(() => rmSync(folder, { recursive: true }))
  const tickets = new Tickets()
  stack.defer(() => tickets.close())
  const socketPath = join(folder, 'core.sock')
  const server = await CoreServer.start({
    socketPath,
    version: '1.2.3',
    redeemTicket: (ticket) => tickets.redeem(ticket),
    serveRpc: (socket, role) =>
      serveRpc(socket, role, {
        handlers: {} as Handlers,
        revision: () => 0,
        subscribe: () => () => undefined,
        log: () => undefined,
      }),
    log: () => undefined,
  })
  stack.defer(() => server.close())
  const [ours, theirs] = makeSocketPair()
  const engine = new Socket({ fd: theirs, allowHalfOpen: true })
  engine.on('error', () => undefined)
  stack.defer(() => void engine.destroy())
  const client = stack.use(
    await connectCore({ kind: 'socket', socketPath, label: 'the core host under test' }),
  )
  const pieces: Buffer[] = []
  const end = Promise.withResolvers<void>()
  const stream: CoreStream = await client.openStream(tickets.issue(make(ours)), {
    data: (output, bytes, offset) => {
      pieces.push(Buffer.from(bytes))
      stream.acknowledge(output, offset + bytes.length)
    },
    end: () => end.resolve(),
  })
  stack.use(stream)
  return { stream, engine, received: () => Buffer.concat(pieces).toString(), outputEnd: end.promise }
}
const toPort = () => joined((fd) => portSession({ fd, guestName: 'web', port: 80 }))
const large = 'x'.repeat(3_000_000)

describe("a connection to a guest's port", () => {
  it('goes on to the guest after the guest has ended its side', async () => {
    const { stream, engine, received, outputEnd } = await toPort()
    engine.end('bye')
    await outputEnd
    expect(received()).toBe('bye')
    const taken = text(engine)
    expect(await stream.write(Buffer.from(large))).toBe(true)
    await stream.end()
    expect(await taken).toBe(large)
    expect(await stream.finished).toBeUndefined()
  })

  it('goes on from the guest after the client has ended its side', async () => {
    const { stream, engine, received } = await toPort()
    await stream.write(Buffer.from('ask'))
    await stream.end()
    expect(await text(engine)).toBe('ask')
    engine.end(large)
    expect(await stream.finished).toBeUndefined()
    expect(received()).toBe(large)
  })

  it('that is broken off is told, after all that came before', async () => {
    const { stream, engine, received } = await toPort()
    engine.write('half')
    engine.destroySoon()
    await expect(stream.finished).rejects.toMatchObject({
      code: 'net.connection-reset',
      message: 'The connection to port 80 of guest "web" was broken off',
    })
    expect(received()).toBe('half')
  })

  it('ends when the client leaves', async () => {
    const { stream, engine } = await toPort()
    engine.resume()
    stream.close()
    await once(engine, 'end')
  })
})

describe('a capture', () => {
  it('is asked for its end, and brings the rest', async () => {
    const { stream, engine, received } = await joined(captureSession)
    engine.write('first ')
    engine.resume()
    await stream.end()
    await once(engine, 'end')
    engine.end('and last')
    expect(await stream.finished).toBeUndefined()
    expect(received()).toBe('first and last')
  })
})
