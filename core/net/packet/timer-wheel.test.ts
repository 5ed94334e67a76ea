import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../seeded-random.fixture.ts'
import { TICK_MS, Timer, TimerWheel } from './timer-wheel.ts'

describe('TimerWheel', () => {
  it('fires a timer at its time or up to a slot later, never before', () => {
    for (const dueMs of [1, 9, 10, 11, 250, 10_239, 10_240, 10_241, 40_007, 7_440_000]) {
      const wheel = new TimerWheel(1)
      let firedAtMs = -1
      wheel.start(
        new Timer((nowMs) => {
          firedAtMs = nowMs
        }),
        dueMs,
      )
      for (let nowMs = 1; nowMs < dueMs; nowMs += 7) wheel.advance(nowMs)
      wheel.advance(dueMs - 1)
      expect(firedAtMs).toBe(-1)
      wheel.advance(dueMs + 2 * TICK_MS)
      expect(firedAtMs).toBe(dueMs + 2 * TICK_MS)
      expect(wheel.running).toBe(0)
    }
  })

  it('fires once for each start, and not at all after stop()', () => {
    const wheel = new TimerWheel(0)
    const fired: string[] = []
    const kept = new Timer(() => fired.push('kept'))
    const stopped = new Timer(() => fired.push('stopped'))
    wheel.start(kept, 50)
    wheel.start(kept, 90)
    wheel.start(stopped, 90)
    wheel.stop(stopped)
    wheel.stop(stopped)
    wheel.advance(80)
    expect(fired).toEqual([])
    wheel.advance(5_000)
    wheel.advance(50_000)
    expect(fired).toEqual(['kept'])
    expect(kept.isRunning).toBe(false)
  })

  it('lets a timer start itself, stop and move others that are due in the same moment', () => {
    const wheel = new TimerWheel(0)
    const fired: string[] = []
    const victim = new Timer(() => fired.push('victim'))
    const moved = new Timer((nowMs) => fired.push(`moved ${nowMs}`))
    const again: Timer = new Timer((nowMs) => {
      fired.push(`again ${nowMs}`)
      if (nowMs < 60) wheel.start(again, nowMs)
    })
    const first = new Timer(() => {
      wheel.stop(victim)
      wheel.start(moved, 200)
      fired.push('first')
    })
    // Those of one slot fire in the order of their start.
    for (const timer of [first, again, moved, victim]) wheel.start(timer, 30)
    wheel.advance(30)
    expect(fired).toEqual(['first', 'again 30'])
    wheel.advance(40)
    wheel.advance(200)
    expect(fired.sort()).toEqual(['again 200', 'again 30', 'again 40', 'first', 'moved 200'].sort())
  })

  it('fires the others when one throws, and tells it', () => {
    const defects: unknown[] = []
    const wheel = new TimerWheel(0, (error) => defects.push(error))
    let fired = 0
    const failure = new Error('a defect')
    for (let index = 0; index < 5; index++)
      wheel.start(
        new Timer(() => {
          fired++
          if (index === 2) throw failure
        }),
        20 + (index % 2) * 30,
      )
    wheel.advance(100)
    expect(fired).toBe(5)
    expect(defects).toEqual([failure])
    expect(wheel.running).toBe(0)
  })

  it('says how long the thread may sleep', () => {
    const wheel = new TimerWheel(1_003)
    expect(wheel.untilNext(1_003, 500)).toBe(500)
    const timer = new Timer(() => {})
    wheel.start(timer, 1_200)
    expect(wheel.untilNext(1_003, 500)).toBe(197)
    expect(wheel.untilNext(1_003, 50)).toBe(50)
    expect(wheel.untilNext(1_300, 500)).toBe(0)
    wheel.stop(timer)
    expect(wheel.untilNext(1_300, 500)).toBe(500)
  })

  it('agrees with a sorted list over a long random run', () => {
    const random = new SeededRandom(7)
    const wheel = new TimerWheel(0)
    const expected = new Map<number, number>()
    let nowMs = 0
    const timers = Array.from({ length: 200 }, (_, index) => {
      const timer: Timer = new Timer((at) => {
        const due = expected.get(index)
        expect(due).toBeDefined()
        expect(at).toBeGreaterThanOrEqual(due ?? Number.POSITIVE_INFINITY)
        expected.delete(index)
        if (random.next() < 0.5) start(index, timer)
      })
      return timer
    })
    const start = (index: number, timer: Timer) => {
      const dueMs = nowMs + Math.floor(random.next() * (random.next() < 0.1 ? 30_000 : 400))
      expected.set(index, dueMs)
      wheel.start(timer, dueMs)
    }
    for (let round = 0; round < 5_000; round++) {
      const index = Math.floor(random.next() * timers.length)
      const timer = timers[index]
      if (timer === undefined) continue
      if (random.next() < 0.7) start(index, timer)
      else {
        wheel.stop(timer)
        expected.delete(index)
      }
      nowMs += Math.floor(random.next() * (random.next() < 0.01 ? 25_000 : 30))
      wheel.advance(nowMs)
      expect(wheel.running).toBe(expected.size)
      for (const [, dueMs] of expected) expect(dueMs).toBeGreaterThan(nowMs - 2 * TICK_MS)
    }
  })
})
