import { expect, test } from 'vitest'
import { OciError } from '../errors.ts'
import { parseRetryAfter, retrying, TransientFailure } from './backoff.ts'

const policy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1000 }
const options = { policy, action: 'pull web:1' }
const passing = (retryAfterMs?: number) =>
  new TransientFailure(new OciError('oci.offline', 'broken'), retryAfterMs)

/** Fails so often, then succeeds. */
function failing(times: number, failure: () => Error = passing) {
  const state = { runs: 0 }
  const attempt = async () => {
    state.runs += 1
    if (state.runs <= times) throw failure()
    return 'done'
  }
  return { state, attempt }
}

test('what fails for a passing reason is tried again', async () => {
  const { attempt, state } = failing(2)
  expect(await retrying(attempt, options)).toBe('done')
  expect(state.runs).toBe(3)
})

test('after the last try the real error comes out', async () => {
  const { attempt, state } = failing(9)
  await expect(retrying(attempt, options)).rejects.toThrow(expect.objectContaining({ code: 'oci.offline' }))
  expect(state.runs).toBe(3)
})

test('other errors are not tried again', async () => {
  const { attempt, state } = failing(9, () => new OciError('oci.not-found', 'gone'))
  await expect(retrying(attempt, options)).rejects.toThrow('gone')
  expect(state.runs).toBe(1)
})

test('a try that got further starts the count again', async () => {
  const { attempt, state } = failing(6)
  expect(await retrying(attempt, { ...options, hasProgressed: () => state.runs < 6 })).toBe('done')
})

test('a server that wants to be left alone for long is not waited for', async () => {
  const { attempt, state } = failing(9, () => passing(3_600_000))
  await expect(retrying(attempt, options)).rejects.toThrow('broken')
  expect(state.runs).toBe(1)
})

test('waiting ends when the caller gives up', async () => {
  const leaving = new AbortController()
  const { attempt } = failing(9, () => {
    leaving.abort()
    return passing(900)
  })
  await expect(retrying(attempt, { ...options, signal: leaving.signal })).rejects.toThrow(
    expect.objectContaining({ code: 'oci.cancelled' }),
  )
})

test('parseRetryAfter() reads seconds and dates', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  expect(parseRetryAfter('120', now)).toBe(120_000)
  expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000)
  expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0)
  expect(parseRetryAfter('soon', now)).toBeUndefined()
  expect(parseRetryAfter(undefined, now)).toBeUndefined()
})
