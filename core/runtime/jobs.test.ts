import { describe, expect, it } from 'vitest'
import type { CoreEvent } from '../api/methods.ts'
import { GuestError } from './errors.ts'
import { EventHub } from './event-hub.ts'
import { type Asker, Jobs, type NewJob } from './jobs.ts'

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
const pull = (jobs: Jobs, work: NewJob['work'], sharedBy?: string, asker?: Asker) =>
  jobs.start({ kind: 'pull', title: 'Pull x', sharedBy, asker, work })
const untilAborted: NewJob['work'] = ({ signal }) =>
  new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })
const progress = (bytesDone: number) => ({ phase: 'download', bytesDone, bytesTotal: 100, layers: [] })

describe('Jobs', () => {
  it('reports progress at most ten times a second, and the end always', async () => {
    const { jobs, seen, clock, ended } = setUp()
    const { id } = pull(jobs, async (control) => {
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
    const { id } = pull(jobs, () =>
      Promise.reject(new GuestError('image.not-found', 'No such image', { hint: 'Look again.' })),
    )
    await ended(id)
    expect(jobs.get(id)).toMatchObject({
      state: 'failed',
      error: { code: 'image.not-found', message: 'No such image', hint: 'Look again.' },
    })
  })

  it('tells the last progress also when nothing follows it', async () => {
    const { jobs, seen, ended } = setUp()
    const end = Promise.withResolvers<readonly string[]>()
    const { id } = pull(jobs, ({ progress: report }) => {
      report(progress(1))
      report(progress(2))
      return end.promise
    })
    while (!seen.some((event) => event.type === 'job' && event.job.progress.bytesDone === 2))
      await new Promise((resolve) => setImmediate(resolve))
    end.resolve([])
    await ended(id)
  })

  it('cancels for all who asked', async () => {
    const { jobs, ended } = setUp()
    const { id } = pull(jobs, untilAborted, 'x')
    expect(pull(jobs, untilAborted, 'x').id).toBe(id)
    await Promise.resolve()
    jobs.cancel(id)
    await ended(id)
    expect(jobs.get(id).state).toBe('cancelled')
  })

  it('is shared by those who ask for the same, until the last of them leaves', async () => {
    const { jobs, ended } = setUp()
    const [first, second] = [{}, {}]
    const { id } = pull(jobs, untilAborted, 'x', first)
    expect(pull(jobs, untilAborted, 'x', second).id).toBe(id)
    expect(pull(jobs, untilAborted, 'y').id).not.toBe(id)
    expect(pull(jobs, untilAborted).id).not.toBe(id)
    expect(jobs.leave(id, first)).toBe(false)
    expect(jobs.get(id).state).toBe('running')
    const over = ended(id)
    expect(jobs.leave(id, second)).toBe(true)
    expect(pull(jobs, untilAborted, 'x').id).not.toBe(id)
    await over
    expect(jobs.get(id).state).toBe('cancelled')
  })

  it('counts each who asked once, however often he asks or leaves', async () => {
    const { jobs, ended } = setUp()
    const [first, second, stranger] = [{}, {}, {}]
    const { id } = pull(jobs, untilAborted, 'x', first)
    pull(jobs, untilAborted, 'x', first)
    pull(jobs, untilAborted, 'x', second)
    expect([jobs.leave(id, first), jobs.leave(id, first), jobs.leave(id, stranger)]).toEqual([
      false,
      false,
      false,
    ])
    pull(jobs, untilAborted, 'x', second)
    const over = ended(id)
    expect([jobs.leave(id, second), jobs.leave(id, stranger)]).toEqual([true, true])
    await over
    expect(jobs.leave(id, first)).toBe(true)
  })

  it('goes on for one who never leaves', () => {
    const { jobs } = setUp()
    const asker = {}
    const { id } = pull(jobs, untilAborted, 'x', asker)
    pull(jobs, untilAborted, 'x')
    expect(jobs.leave(id, asker)).toBe(false)
  })

  it('begins anew once a shared job is over', async () => {
    const { jobs, ended } = setUp()
    const { id } = pull(jobs, async () => ['x:latest'], 'x')
    await ended(id)
    expect(pull(jobs, async () => ['x:latest'], 'x').id).not.toBe(id)
  })

  it('keeps the ends of fifty', async () => {
    const { jobs, ended } = setUp()
    const ids = Array.from({ length: 60 }, () => pull(jobs, async () => []).id)
    await Promise.all(ids.map(ended))
    expect(jobs.list().map(({ id }) => id)).toEqual(ids.slice(10))
  })
})
