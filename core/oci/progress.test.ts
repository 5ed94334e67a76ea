import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type ImageProgress, type ProgressPhase, ProgressValve } from './progress.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

const at = (phase: ProgressPhase, bytesDone: number): ImageProgress => ({
  phase,
  bytesDone,
  bytesTotal: 100,
  layers: [],
})

test('the valve passes the first report, ten a second, each new phase, and the last', () => {
  const passed: string[] = []
  const valve = new ProgressValve(({ phase, bytesDone }) => passed.push(`${phase} ${bytesDone}`))
  for (let bytes = 0; bytes < 10; bytes++) valve.report(at('download', bytes))
  expect(passed).toEqual(['download 0'])
  vi.advanceTimersByTime(100)
  expect(passed).toEqual(['download 0', 'download 9'])
  valve.report(at('download', 10))
  valve.report(at('write', 0))
  expect(passed).toEqual(['download 0', 'download 9', 'write 0'])
  valve.report(at('write', 1))
  valve.report(at('write', 2))
  valve[Symbol.dispose]()
  expect(passed.at(-1)).toBe('write 2')
  vi.advanceTimersByTime(1000)
  expect(passed).toHaveLength(4)
})
