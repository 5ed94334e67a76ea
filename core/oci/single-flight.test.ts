import { expect, test } from 'vitest'
import { SingleFlight } from './single-flight.ts'

/** A task that ends when told to, and remembers whether it was aborted. */
function controlledTask() {
  const done = Promise.withResolvers<string>()
  const state = { runs: 0, aborted: false, report: (_: number) => {} }
  const task = async ({ signal, report }: { signal: AbortSignal; report: (progress: number) => void }) => {
    state.runs += 1
    state.report = report
    signal.addEventListener('abort', () => {
      state.aborted = true
      done.reject(new Error('aborted'))
    })
    return done.promise
  }
  return { task, state, finish: done.resolve }
}

test('one run serves all who ask while it lasts, and each hears its progress', async () => {
  const flights = new SingleFlight<string, number>()
  const { task, state, finish } = controlledTask()
  const heard: string[] = []
  const first = flights.run('key', 'work', task, { onProgress: (value) => heard.push(`a${value}`) })
  const second = flights.run('key', 'work', task, { onProgress: (value) => heard.push(`b${value}`) })
  await Promise.resolve()
  await Promise.resolve()
  state.report(1)
  finish('result')
  expect(await Promise.all([first, second])).toEqual(['result', 'result'])
  expect(heard).toEqual(['a1', 'b1'])
  expect(state.runs).toBe(1)
})

test('who leaves is released at once and the others go on; the last one to leave ends the run', async () => {
  const flights = new SingleFlight<string, number>()
  const { task, state } = controlledTask()
  const [a, b] = [new AbortController(), new AbortController()]
  const first = flights.run('key', 'pull web:1', task, { signal: a.signal })
  const second = flights.run('key', 'pull web:1', task, { signal: b.signal })
  a.abort()
  await expect(first).rejects.toThrow('Cannot pull web:1: cancelled')
  expect(state.aborted).toBe(false)
  b.abort()
  await expect(second).rejects.toThrow(expect.objectContaining({ code: 'oci.cancelled' }))
  expect(state.aborted).toBe(true)
})

test('a new run of a key starts when the aborted one has wound down', async () => {
  const flights = new SingleFlight<string, number>()
  const events: string[] = []
  const windDown = Promise.withResolvers<void>()
  const leaving = new AbortController()
  const first = flights.run(
    'key',
    'work',
    async ({ signal }) => {
      events.push('first starts')
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      await windDown.promise
      events.push('first ends')
      throw new Error('aborted')
    },
    { signal: leaving.signal },
  )
  await Promise.resolve()
  leaving.abort()
  await new Promise((resolve) => setImmediate(resolve))
  const second = flights.run('key', 'work', async () => {
    events.push('second starts')
    return 'second'
  })
  windDown.resolve()
  await expect(first).rejects.toThrow('cancelled')
  events.push('first caller leaves')
  expect(await second).toBe('second')
  expect(events.slice(0, 2)).toEqual(['first starts', 'first ends'])
  expect(events.slice(2).sort()).toEqual(['first caller leaves', 'second starts'])
})

test('a failed run is not remembered', async () => {
  const flights = new SingleFlight<string, number>()
  await expect(flights.run('key', 'work', () => Promise.reject(new Error('broken')))).rejects.toThrow(
    'broken',
  )
  expect(await flights.run('key', 'work', async () => 'fine')).toBe('fine')
})
