import { describe, expect, it } from 'vitest'
import { rateLimitWords, rateWords, shortDuration } from './progress-words.ts'

describe('shortDuration()', () => {
  it.each([
    [0.2, '1s'],
    [59, '59s'],
    [200, '3m20s'],
    [3900, '1h05m'],
    [1e9, 'days'],
  ])('writes %d seconds as %s', (seconds, text) => {
    expect(shortDuration(seconds)).toBe(text)
  })
})

describe('rateWords()', () => {
  it.each([
    [0, 100, undefined, ''],
    [50, 100, 10, '10B/s 5s'],
    [50, 100, 0, '0B/s'],
    [50, 0, 10, '10B/s'],
    [100, 100, 10, ''],
  ])('of %d of %d at %s says %j', (done, total, rate, words) => {
    expect(rateWords(done, total, rate)).toBe(words)
  })
})

describe('rateLimitWords()', () => {
  it('says what the registry said', () => {
    expect(rateLimitWords({})).toBeUndefined()
    expect(rateLimitWords({ rateLimit: { limit: 100, remaining: 97, windowSeconds: 21_600 } })).toBe(
      'The registry allows 100 pulls in 6 hours; 97 are left',
    )
  })
})
