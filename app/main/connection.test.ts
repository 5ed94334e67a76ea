// The connection to the core host, on real sockets: a core host that comes, goes, and does not let us in.
import { afterEach, expect, it } from 'vitest'
import { connectCore } from '../../core/client/core-client.ts'
import { type Script, type ScriptedCore, startScriptedCore } from '../../core/client/scripted-core.fixture.ts'
import type { ConnectionStatus } from '../preload/connection-status.ts'
import { appError } from './app-error.ts'
import { type ConnectionParts, CoreConnection } from './connection.ts'

const running: { connection: CoreConnection; run: Promise<void> }[] = []
afterEach(async () => {
  for (const { connection, run } of running.splice(0)) {
    connection.stop()
    await run
  }
})

function begin(parts: Partial<ConnectionParts> & Pick<ConnectionParts, 'resolveTarget'>) {
  const statuses: ConnectionStatus[] = []
  const waiting = new Set<() => void>()
  const connection = new CoreConnection({
    connect: (target, signal) => connectCore(target, { signal }),
    start: async () => {},
    onEvent: () => {},
    // Only a wish or the end cuts it short: what follows in a test never comes from the passing of time.
    pause: (_ms, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    now: () => 1_000_000,
    ...parts,
    onStatus: (status) => {
      statuses.push(status)
      for (const look of waiting) look()
    },
  })
  running.push({ connection, run: connection.run() })
  const reached = (state: ConnectionStatus['state'], count = 1): Promise<void> =>
    new Promise((resolve) => {
      const look = () => {
        if (statuses.filter((status) => status.state === state).length < count) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
    })
  return { connection, statuses, reached }
}

const script: Script = {
  methods: { 'events.subscribe': () => ({ revision: 0 }), 'guests.list': () => [] },
}
const start = (): Promise<ScriptedCore> => startScriptedCore(script)

it('connects, subscribes, and passes events on', async () => {
  await using core = await start()
  const events: unknown[] = []
  const { connection, reached } = begin({
    resolveTarget: async () => core.target,
    onEvent: ({ event }) => events.push(event),
  })
  await reached('ready')
  expect(connection.status).toMatchObject({ state: 'ready', version: '0.0.0-scripted', session: 1 })
  core.notify(1, { type: 'image-removed', reference: 'busybox' })
  // The answer comes after the event, on the same connection.
  await connection.client.request('guests.list', {})
  expect(events).toEqual([{ type: 'image-removed', reference: 'busybox' }])
})

it('says why it is not connected, and when it will try again', async () => {
  const { connection, reached } = begin({
    resolveTarget: async () => ({ kind: 'local', socketPath: '/nowhere/core.sock', label: 'this machine' }),
  })
  await reached('failed')
  expect(connection.status).toEqual({
    state: 'failed',
    host: { kind: 'local', label: 'this machine' },
    error: expect.objectContaining({ code: 'client.no-socket' }),
    actions: ['start-core', 'retry'],
    retryAt: 1_000_500,
  })
  expect(() => connection.client).toThrow('There is no connection to a core host right now')
})

it('waits longer after each failure, and begins anew after a success', async () => {
  await using core = await start()
  let isThere = false
  const { connection, statuses, reached } = begin({
    resolveTarget: async () => (isThere ? core.target : { ...core.target, socketPath: '/nowhere/core.sock' }),
  })
  await reached('failed')
  connection.act('retry')
  await reached('failed', 2)
  isThere = true
  connection.act('retry')
  await reached('ready')
  core.die()
  await reached('failed', 3)
  const delays = statuses.flatMap((status) => (status.state === 'failed' ? [status.retryAt - 1_000_000] : []))
  expect(delays).toEqual([500, 1000, 500])
  connection.act('retry')
  await reached('ready', 2)
  expect(connection.status).toMatchObject({ session: 2 })
})

it('has a host started when a person asks for it, and shows each step', async () => {
  await using core = await start()
  let isThere = false
  const { connection, statuses, reached } = begin({
    resolveTarget: async () => {
      if (isThere) return core.target
      throw appError('app.not-connected', 'No lab is running')
    },
    start: async (what, { onStep }) => {
      onStep(`Booting ${what}`)
      isThere = true
    },
  })
  await reached('failed')
  connection.act('start-lab')
  await reached('ready')
  const steps = statuses.flatMap((status) => (status.state === 'starting' ? [status.step] : []))
  expect(steps).toEqual(['', 'Booting lab'])
})

it('says what was wrong when the start fails', async () => {
  const { connection, reached } = begin({
    resolveTarget: () => Promise.reject(appError('app.not-connected', 'No lab is running')),
    start: () => Promise.reject(appError('app.cannot-start', 'Cannot start the lab: QEMU is not installed')),
  })
  await reached('failed')
  connection.act('start-lab')
  await reached('failed', 2)
  expect(connection.status).toMatchObject({
    error: { message: 'Cannot start the lab: QEMU is not installed' },
  })
})
