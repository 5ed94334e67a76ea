import { describe, expect, it } from 'vitest'
import type { CoreEvent } from '../api/methods.ts'
import { GuestError } from './errors.ts'
import { EventHub } from './event-hub.ts'
import { Jobs } from './jobs.ts'

function setUp() {
  const events = new EventHub()
  const seen: CoreEvent[] = []
  events.subscribe(({ event }) => seen.push(event))
  const clock = { nowMs: 0 }
  const jobs = new Jobs(events, () => clock.nowMs)
  const ended = (id: string) =>
    new Promise<void>((resolve) => {
      const stop = events.subscribe(({ event }) => {
        if (event.type !== 'job' || event.job.id !== id || event.job.state === 'running') return
        stop()
        resolve()
      })
    })
  return { jobs, seen, clock, ended }
}
const progress = (bytesDone: number) => ({ phase: 'download', bytesDone, bytesTotal: 100, layers: [] })

describe('Jobs', () => {
  it('reports progress at most ten times a second, and the end always', async () => {
    const { jobs, seen, clock, ended } = setUp()
    const { id } = jobs.start('pull', 'Pull x', async (control) => {
      for (let done = 0; done < 100; done++) {
        clock.nowMs += 10
        control.progress(progress(done))
      }
      return ['x:latest']
    })
    await ended(id)
    expect(seen.length).toBeLessThanOrEqual(14)
    expect(seen.at(-1)).toMatchObject({
      job: { state: 'done', references: ['x:latest'], progress: { bytesDone: 99 } },
    })
  })

  it('tells a failure with its code and hint', async () => {
    const { jobs, ended } = setUp()
    const { id } = jobs.start('pull', 'Pull x', () =>
      Promise.reject(new GuestError('image.not-found', 'No such image', { hint: 'Look again.' })),
    )
    await ended(id)
    expect(jobs.get(id)).toMatchObject({
      state: 'failed',
      error: { code: 'image.not-found', message: 'No such image', hint: 'Look again.' },
    })
  })

  it('cancels', async () => {
    const { jobs, ended } = setUp()
    const { id } = jobs.start(
      'pull',
      'Pull x',
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
        }),
    )
    await Promise.resolve()
    jobs.cancel(id)
    await ended(id)
    expect(jobs.get(id).state).toBe('cancelled')
  })
})
