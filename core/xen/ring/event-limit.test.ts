import { expect, test } from 'vitest'
import { EventLimit } from './event-limit.ts'

test('lets a busy ring wake us, until the events come faster than any ring needs', () => {
  const limit = new EventLimit()
  for (let event = 0; event < 200; event++) expect(limit.countEvent(1000)).toBeUndefined()
  expect(limit.countEvent(1005)).toBe(1010)
  expect(limit.countEvent(1010)).toBeUndefined()
})

test('has little patience with events that bring nothing', () => {
  const limit = new EventLimit()
  let masked: number | undefined
  let events = 0
  while (masked === undefined) {
    masked = limit.countEvent(0)
    limit.countEmpty()
    events++
  }
  expect(events).toBeLessThan(30)
  expect(limit.countEvent(10)).toBeUndefined()
})
