import { afterEach, describe, expect, it } from 'vitest'
import type { Job } from '../api/methods.ts'
import { connectCore } from './core-client.ts'
import { isLeftToOthers, waitForJob } from './job.ts'
import { type Script, startScriptedCore } from './scripted-core.fixture.ts'

let stack = new AsyncDisposableStack()
afterEach(async () => {
  await stack.disposeAsync()
  stack = new AsyncDisposableStack()
})
const job = (changes: Partial<Job> = {}): Job => ({
  id: 'j1',
  kind: 'pull',
  title: 'Pull busybox:latest',
  state: 'running',
  startedAt: '2026-11-24T06:00:00.000Z',
  progress: { phase: 'download', bytesDone: 0, bytesTotal: 100, layers: [] },
  references: [],
  ...changes,
})
const connectTo = async (methods: Script['methods']) => {
  const core = stack.use(
    await startScriptedCore({ methods: { 'events.subscribe': () => ({ revision: 0 }), ...methods } }),
  )
  return { core, client: stack.use(await connectCore(core.target)) }
}

describe('waitForJob()', () => {
  it('returns a job that was over before anybody asked', async () => {
    const { client } = await connectTo({ 'jobs.get': () => job({ state: 'done', references: ['a'] }) })
    expect(await waitForJob(client, 'j1')).toMatchObject({ references: ['a'] })
  })

  it('reports progress by events until the job is done', async () => {
    const { core, client } = await connectTo({ 'jobs.get': () => job() })
    const phases: string[] = []
    const done = await waitForJob(client, 'j1', {
      onProgress: ({ progress }) => {
        phases.push(progress.phase)
        if (phases.length > 1) return
        core.notify(1, { type: 'job', job: job({ id: 'other', state: 'done' }) })
        core.notify(2, { type: 'job', job: job({ progress: { ...job().progress, phase: 'verify' } }) })
        core.notify(3, {
          type: 'job',
          job: job({ state: 'done', progress: { ...job().progress, phase: 'sync' } }),
        })
      },
    })
    expect(done.state).toBe('done')
    expect(phases).toEqual(['download', 'verify', 'sync'])
  })

  it('asks again when it missed an event', async () => {
    let asked = 0
    const { core, client } = await connectTo({
      'jobs.get': () => (++asked === 1 ? job() : job({ state: 'done' })),
    })
    await waitForJob(client, 'j1', {
      onProgress: () => {
        core.notify(1, { type: 'guest-removed', id: '0'.repeat(64), name: 'x' })
        core.notify(5, { type: 'guest-removed', id: '0'.repeat(64), name: 'y' })
      },
    })
    expect(asked).toBe(2)
  })

  it('rejects with what the job failed of', async () => {
    const error = {
      code: 'oci.offline',
      message: 'Cannot pull busybox:latest: no network',
      hint: 'Plug it in.',
    }
    const { client } = await connectTo({ 'jobs.get': () => job({ state: 'failed', error }) })
    await expect(waitForJob(client, 'j1')).rejects.toMatchObject(error)
  })

  it.each([
    [{ ended: true }, false],
    [{ ended: false }, true],
    [{}, undefined],
  ])('leaves the job when it is given up, and knows what %j means', async (left, isLeft) => {
    const { core, client } = await connectTo({ 'jobs.get': () => job(), 'jobs.leave': () => left })
    const abort = new AbortController()
    const waiting = waitForJob(client, 'j1', { signal: abort.signal, onProgress: () => abort.abort() })
    const failure: unknown = await waiting.catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'client.cancelled' })
    expect(isLeftToOthers(failure)).toBe(isLeft)
    expect(core.calls.at(-1)).toEqual({ method: 'jobs.leave', params: { job: 'j1' } })
  })

  it('rejects when the core host dies', async () => {
    const { core, client } = await connectTo({ 'jobs.get': () => job() })
    await expect(waitForJob(client, 'j1', { onProgress: () => core.die() })).rejects.toMatchObject({
      code: 'client.connection-lost',
    })
  })
})
