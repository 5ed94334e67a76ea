import { describe, expect, it } from 'vitest'
import { byteSize, duration, shortDuration, timeAgo } from './quantities.ts'

describe('byteSize()', () => {
  it.each([
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [4_261_502, '4.26MB'],
    [999_999, '1MB'],
    [77_812_345, '77.8MB'],
    [1.5e12, '1.5TB'],
  ])('writes %i as %s', (bytes, text) => {
    expect(byteSize(bytes)).toBe(text)
  })
})

describe('duration()', () => {
  it.each([
    [0.2, 'Less than a second'],
    [1, '1 second'],
    [59.9, '59 seconds'],
    [60, 'About a minute'],
    [120, '2 minutes'],
    [3599, '59 minutes'],
    [3600, 'About an hour'],
    [7200, '2 hours'],
    [86400 * 3, '3 days'],
    [86400 * 20, '2 weeks'],
    [86400 * 90, '3 months'],
    [86400 * 800, '2 years'],
  ])('says of %d seconds: %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text)
  })
})

describe('timeAgo()', () => {
  it('does not tell of the future where clocks differ', () => {
    expect(timeAgo('2026-11-24T06:00:05.000Z', Date.parse('2026-11-24T06:00:00.000Z'))).toBe(
      'Less than a second ago',
    )
  })
})

describe('shortDuration()', () => {
  it.each([
    [0, '0s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [7_440_000, '2h'],
    [172_800_000, '2d'],
  ])('writes %i ms as %s', (ms, text) => {
    expect(shortDuration(ms)).toBe(text)
  })
})
