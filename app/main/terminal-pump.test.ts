// Between the core host's stream and the page's port: every byte as it came, and acknowledgements from the page.
import { EventEmitter } from 'node:events'
import { expect, it } from 'vitest'
import { connectCore } from '../../core/client/core-client.ts'
import { type StreamHandler, startScriptedCore } from '../../core/client/scripted-core.fixture.ts'
import type { ToPage } from '../preload/terminal-messages.ts'
import { pumpTerminal, type TerminalPort } from './terminal-pump.ts'

/** The main process's end of a channel, without Electron: what the page would get can be read. */
class Port extends EventEmitter implements TerminalPort {
  readonly sent: ToPage[] = []
  isClosed = false

  postMessage(message: ToPage): void {
    this.sent.push(message)
    this.emit('sent', message)
  }

  start(): void {}

  close(): void {
    this.isClosed = true
  }

  /** The page says something. */
  say(data: unknown): void {
    this.emit('message', { data })
  }

  async got(type: ToPage['type']): Promise<ToPage> {
    const known = this.sent.find((message) => message.type === type)
    if (known !== undefined) return known
    return new Promise((resolve) => {
      const look = (message: ToPage) => {
        if (message.type !== type) return
        this.off('sent', look)
        resolve(message)
      }
      this.on('sent', look)
    })
  }
}

async function pumping(stream: StreamHandler) {
  const stack = new AsyncDisposableStack()
  const core = stack.use(
    await startScriptedCore({
      methods: { 'streams.open': () => ({ ticket: 'T' }) },
      streams: { T: stream },
      windowBytes: 4096,
    }),
  )
  const client = stack.use(await connectCore(core.target))
  const port = new Port()
  const done = pumpTerminal(client, { guest: 'web', kind: 'stdio' }, port)
  return { core, port, done, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

it('passes bytes on untouched, marks what was skipped, and tells how it ended', async () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
  await using pump = await pumping((peer) => {
    peer.send('data', 1, 0, bytes)
    const skipped = Buffer.alloc(8)
    skipped.writeBigUInt64LE(1000n)
    peer.send('skip', 1, 1256, skipped)
    peer.send('data', 1, 1256, 'x')
    peer.exit({ reason: 'exited', code: 7, message: 'The program ended with status 7' })
  })
  await pump.done
  expect(pump.port.sent.map(({ type }) => type)).toEqual(['opened', 'data', 'skip', 'data', 'finished'])
  expect(pump.port.sent[1]).toMatchObject({ offset: 0, bytes })
  expect(pump.port.sent[2]).toMatchObject({ offset: 1256, skippedBytes: 1000 })
  expect(pump.port.sent[4]).toMatchObject({ exit: { code: 7 } })
  expect(pump.port.isClosed).toBe(true)
})

it('acknowledges what the page has parsed, and not a byte before', async () => {
  const acknowledged = Promise.withResolvers<number>()
  let early: number | undefined
  await using pump = await pumping(async (peer) => {
    peer.send('data', 1, 0, 'x'.repeat(4096))
    const frame = await peer.nextOf('ack')
    early ??= frame?.offset
    acknowledged.resolve(frame?.offset ?? -1)
    peer.exit({ reason: 'exited', code: 0, message: '' })
  })
  await pump.port.got('data')
  expect(early).toBeUndefined()
  // Beyond what was passed on: a page cannot make the core host believe it.
  pump.port.say({ type: 'ack', stream: 1, offset: 1_000_000 })
  expect(await acknowledged.promise).toBe(4096)
  await pump.done
})

it('sends keys and sizes; what is not understood is dropped', async () => {
  const got: string[] = []
  await using pump = await pumping(async (peer) => {
    for (let frame = await peer.next(); frame !== undefined; frame = await peer.next()) {
      if (frame.kind === 'ack') continue
      got.push(`${frame.kind} ${Buffer.from(frame.payload).toString('hex')}`)
      if (frame.kind === 'data') peer.exit({ reason: 'exited', code: 0, message: '' })
    }
  })
  await pump.port.got('opened')
  pump.port.say({ type: 'resize', rows: 40, columns: 132 })
  pump.port.say({ type: 'resize', rows: -1, columns: 132 })
  pump.port.say('nonsense')
  pump.port.say({ type: 'input', bytes: new Uint8Array([3, 255]) })
  await pump.done
  expect(got).toEqual(['resize 28008400', 'data 03ff'])
})

it('detaches when the page closes its port', async () => {
  const detached = Promise.withResolvers<void>()
  await using pump = await pumping((peer) => {
    peer.socket.on('close', () => detached.resolve())
  })
  await pump.port.got('opened')
  pump.port.emit('close')
  await detached.promise
  await pump.done
})

it('tells the page why there is no stream', async () => {
  await using core = await startScriptedCore({})
  using client = await connectCore(core.target)
  const port = new Port()
  await pumpTerminal(client, { guest: 'web', kind: 'stdio' }, port)
  expect(port.sent).toEqual([
    { type: 'failed', error: expect.objectContaining({ code: 'client.unsupported' }) },
  ])
  expect(port.isClosed).toBe(true)
})
