import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BulkheadError } from '../errors.ts'
import { connectCore } from './core-client.ts'
import { CoreError } from './core-error.ts'
import { type Script, ScriptedFailure, startScriptedCore } from './scripted-core.fixture.ts'
import type { CoreTarget } from './target.ts'

const cleanUp = new AsyncDisposableStack()
let stack = cleanUp
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})
const start = async (script: Script) => stack.use(await startScriptedCore(script))
const connectTo = async (script: Script) => {
  const core = await start(script)
  const client = stack.use(await connectCore(core.target))
  return { core, client }
}
const failureOf = async (promise: Promise<unknown>): Promise<CoreError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof CoreError) return error
  throw new Error(`A CoreError was expected, it was ${String(error)}`)
}
const folder = () => {
  const path = mkdtempSync(join(tmpdir(), 'bulkhead-client-'))
  stack.defer(() => rmSync(path, { recursive: true }))
  return path
}
const local = (socketPath: string): CoreTarget => ({
  kind: 'local',
  socketPath,
  label: 'the core host of this machine',
})

describe('connectCore()', () => {
  it('learns the version of the core host and calls its methods', async () => {
    const { core, client } = await connectTo({ methods: { 'guests.list': () => [] } })
    expect(client.version).toBe('0.0.0-scripted')
    expect(await client.request('guests.list', { all: true })).toEqual([])
    expect(core.calls).toEqual([{ method: 'guests.list', params: { all: true } }])
  })

  it('says where no socket is', async () => {
    const error = await failureOf(connectCore(local('/nowhere/core.sock')))
    expect(error).toBeInstanceOf(BulkheadError)
    expect(error.code).toBe('client.no-socket')
    expect(error.message).toBe(
      'Cannot reach the core host of this machine: there is no socket at /nowhere/core.sock',
    )
    expect(error.hint).toContain('systemctl start bulkhead')
  })

  it('says where nobody listens', async () => {
    const path = join(folder(), 'plain-file')
    writeFileSync(path, '')
    expect(await failureOf(connectCore(local(path)))).toMatchObject({ code: 'client.not-running' })
  })

  it('passes on why it was refused', async () => {
    const core = await start({
      firstLine: (_line, socket) => {
        socket.end('refused {"code":"host.not-allowed","message":"You may not","hint":"Join the group."}\n')
        return true
      },
    })
    expect(await failureOf(connectCore(core.target))).toMatchObject({
      code: 'host.not-allowed',
      message: 'You may not',
      hint: 'Join the group.',
    })
  })

  it.each([
    ['client.not-core', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['client.not-core', 'ok {"protocol"\n'],
    ['client.wrong-protocol', 'ok {"protocol":2,"version":"9.0.0"}\n'],
    ['client.connection-lost', ''],
  ])('tells what it met: %s (%j)', async (code, line) => {
    const core = await start({
      firstLine: (_line, socket) => {
        socket.end(line)
        return true
      },
    })
    expect(await failureOf(connectCore(core.target))).toMatchObject({ code })
  })

  it('does not wait for ever for an answer', async () => {
    const core = await start({ firstLine: () => true })
    const error = await failureOf(connectCore(core.target, { answerTimeoutMs: 50 }))
    expect(error.code).toBe('client.timeout')
    expect(error.message).toContain('did not answer for 0.05 s')
  })

  it('gives up when it is told to', async () => {
    const core = await start({ firstLine: () => true })
    const abort = new AbortController()
    const connecting = failureOf(connectCore(core.target, { signal: abort.signal }))
    abort.abort()
    expect(await connecting).toMatchObject({ code: 'client.cancelled' })
  })

  it('survives a socket that closes while it connects', async () => {
    const path = join(folder(), 'core.sock')
    const server = createServer((socket) => socket.destroy())
    await new Promise<void>((resolve) => server.listen(path, resolve))
    stack.defer(() => void server.close())
    expect(await failureOf(connectCore(local(path)))).toMatchObject({ code: 'client.connection-lost' })
  })
})

describe('request()', () => {
  it('makes the errors of the core host anew', async () => {
    const { client } = await connectTo({
      methods: {
        'guests.inspect': () => {
          throw new ScriptedFailure({
            code: 'guest.not-found',
            message: 'No guest is called "web"',
            hint: 'See "bulkhead ps -a".',
            data: { guest: 'web' },
          })
        },
      },
    })
    const error = await failureOf(client.request('guests.inspect', { guest: 'web' }))
    expect({ ...error, message: error.message }).toMatchObject({
      code: 'guest.not-found',
      message: 'No guest is called "web"',
      hint: 'See "bulkhead ps -a".',
      data: { guest: 'web' },
    })
  })

  it('says so where the core host does not know the method', async () => {
    const { client } = await connectTo({})
    const error = await failureOf(client.request('host.dmesg', {}))
    expect(error.code).toBe('client.unsupported')
    expect(error.message).toBe('The core host (0.0.0-scripted) does not know host.dmesg')
  })

  it('fails in one sentence when the core host dies while it waits', async () => {
    const { core, client } = await connectTo({ methods: { 'guests.wait': () => core.die() } })
    const [error, closed] = await Promise.all([
      failureOf(client.request('guests.wait', { guest: 'web' })),
      client.closed,
    ])
    expect(error.code).toBe('client.connection-lost')
    expect(error.message).toBe('The connection to the scripted core host was lost')
    expect(closed).toBe(error)
    expect(await failureOf(client.request('guests.list', {}))).toBe(error)
  })

  it('is cancelled at the core host too', async () => {
    const cancelled = Promise.withResolvers<void>()
    const waiting = Promise.withResolvers<void>()
    const { client } = await connectTo({
      methods: {
        'guests.wait': (_params, token) => {
          token.onCancellationRequested(() => cancelled.resolve())
          waiting.resolve()
          return new Promise(() => {})
        },
      },
    })
    const abort = new AbortController()
    const call = failureOf(client.request('guests.wait', { guest: 'web' }, { signal: abort.signal }))
    await waiting.promise
    abort.abort()
    expect(await call).toMatchObject({ code: 'client.cancelled' })
    await cancelled.promise
  })

  it('ends with client.closed when the client is disposed', async () => {
    const { client } = await connectTo({ methods: { 'guests.wait': () => new Promise(() => {}) } })
    const call = failureOf(client.request('guests.wait', { guest: 'web' }))
    client.dispose()
    expect(await call).toMatchObject({ code: 'client.closed' })
    expect(await client.closed).toBeUndefined()
  })
})

describe('onEvent()', () => {
  it('hears events in their order until it is disposed', async () => {
    const { core, client } = await connectTo({ methods: { 'events.subscribe': () => ({ revision: 0 }) } })
    const heard: number[] = []
    const third = Promise.withResolvers<void>()
    const listener = client.onEvent(({ revision }) => {
      heard.push(revision)
      if (revision === 2) listener[Symbol.dispose]()
    })
    client.onEvent(({ revision }) => revision === 3 && third.resolve())
    await client.request('events.subscribe', {})
    for (const revision of [1, 2, 3])
      core.notify(revision, { type: 'guest-removed', id: '0'.repeat(64), name: 'web' })
    await third.promise
    expect(heard).toEqual([1, 2])
  })
})
