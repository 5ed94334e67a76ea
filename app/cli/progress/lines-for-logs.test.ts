import { describe, expect, it } from 'vitest'
import type { Job } from '../../../core/api/methods.ts'
import { rememberingRateLimit } from './job-display.ts'
import { JsonProgress, jsonState } from './json-progress.ts'
import { PlainProgress } from './plain-progress.ts'

const layer = { digest: `sha256:${'ab'.repeat(32)}`, bytesDone: 0, bytesTotal: 3000, state: 'waiting' }
const job = (changes: Partial<Job['progress']>, end: Partial<Job> = {}): Job => ({
  id: 'j',
  kind: 'pull',
  title: 'Pull app',
  state: 'running',
  startedAt: '2026-11-24T06:00:00.000Z',
  references: [],
  progress: { phase: 'download', bytesDone: 0, bytesTotal: 3000, layers: [layer], ...changes },
  ...end,
})

describe('PlainProgress', () => {
  it('has a line for each new state of a layer, each phase, and the whole every five seconds', () => {
    const lines: string[] = []
    let nowMs = 0
    const progress = new PlainProgress(
      (line) => lines.push(line),
      () => nowMs,
    )
    progress.show(job({}))
    for (nowMs = 1000; nowMs <= 7000; nowMs += 1000)
      progress.show(job({ bytesDone: nowMs / 10, layers: [{ ...layer, state: 'active' }] }))
    progress.show(job({ phase: 'write', layers: [] }))
    progress.show(
      job(
        { layers: [{ ...layer, state: 'done' }], rateLimit: { limit: 2, remaining: 1 } },
        { state: 'done' },
      ),
    )
    expect(lines).toEqual([
      'abababababab: Waiting 3kB',
      'Pull app: downloading 0B/3kB',
      'abababababab: Downloading 3kB',
      'Pull app: downloading 500B/3kB 100B/s 25s',
      'Pull app: writing the root image 0B/3kB',
      'abababababab: Pull complete 3kB',
      'The registry allows 2 pulls; 1 are left',
    ])
  })
})

describe('rememberingRateLimit()', () => {
  it('has it at the end though the last phase knows nothing of it', () => {
    const shown: Job[] = []
    const display = rememberingRateLimit({ show: (seen) => void shown.push(seen), end: async () => {} })
    display.show(job({ rateLimit: { limit: 2, remaining: 1 } }))
    display.show(job({ phase: 'write' }, { state: 'done' }))
    expect(shown[1]).toEqual(
      job({ phase: 'write', rateLimit: { limit: 2, remaining: 1 } }, { state: 'done' }),
    )
  })
})

describe('JsonProgress', () => {
  it('prints an object a line', async () => {
    const lines: string[] = []
    const progress = new JsonProgress(async (line) => void lines.push(line))
    progress.show(job({}))
    progress.show(job({}, { state: 'done', references: ['a'] }))
    await progress.end()
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { type: 'progress', phase: 'download', bytesDone: 0, bytesTotal: 3000, layers: [layer] },
      { type: 'done', references: ['a'] },
    ])
    expect(lines.every((line) => line.endsWith('\n'))).toBe(true)
  })

  it('tells at the end that nobody reads', async () => {
    const progress = new JsonProgress(() => Promise.reject(new Error('EPIPE')))
    progress.show(job({}))
    await expect(progress.end()).rejects.toThrow('EPIPE')
  })

  it('tells failures and cancelling', () => {
    const error = { code: 'oci.offline', message: 'Cannot' }
    expect(jsonState(job({}, { state: 'failed', error }))).toEqual({ type: 'failed', error })
    expect(jsonState(job({}, { state: 'cancelled' }))).toEqual({ type: 'cancelled' })
  })
})
