import { describe, expect, it } from 'vitest'
import { phaseWords, rateLimitWords, rateWords, shortDuration } from './progress-words.ts'

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
    [0, 0, 0, ''],
    [100, 100, 10, ''],
  ])('of %d of %d at %s says %j', (done, total, rate, words) => {
    expect(rateWords(done, total, rate)).toBe(words)
  })
})

describe('phaseWords()', () => {
  it.each([
    ['download', 50, 100, 'downloading 50B/100B 10B/s 5s'],
    ['write', 100, 100, 'writing the root image 100B/100B'],
    ['sync', 100, 100, 'waiting for the disk'],
    ['resolve', 0, 0, 'asking the registry'],
    ['new\x1b', 0, 0, 'new\\x1b'],
  ])('of %s, at %d of %d, are its own', (phase, bytesDone, bytesTotal, words) => {
    expect(phaseWords({ phase, bytesDone, bytesTotal, layers: [] }, 10)).toBe(words)
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
