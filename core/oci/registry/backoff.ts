// Repeats what failed for a passing reason: a broken connection, an overloaded server. Waits grow and are spread out
// (so that many clients do not come back at once), and what the server asks for with Retry-After is kept to.

import { setTimeout as delay } from 'node:timers/promises'
import { cancelled, type OciError } from '../errors.ts'

export interface RetryPolicy {
  /** Tries in all. */
  readonly attempts: number
  readonly baseDelayMs: number
  /** A server that asks for more patience than this is not waited for. */
  readonly maxDelayMs: number
  /** Waits between two tries; rejects when the signal is aborted. The clock's own when left out. */
  readonly wait?: ((ms: number, signal: AbortSignal | undefined) => Promise<void>) | undefined
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = { attempts: 5, baseDelayMs: 500, maxDelayMs: 60_000 }

/** A failure that may pass. `error` is what the caller gets when it does not. */
export class TransientFailure extends Error {
  readonly error: OciError
  readonly retryAfterMs: number | undefined

  constructor(error: OciError, retryAfterMs?: number) {
    super(error.message, { cause: error })
    this.error = error
    this.retryAfterMs = retryAfterMs
  }
}

export interface RetryOptions {
  readonly policy: RetryPolicy
  readonly signal?: AbortSignal | undefined
  /** Completes "Cannot …: cancelled". */
  readonly action: string
  /** Whether the last try got further: then the count starts again. */
  readonly hasProgressed?: (() => boolean) | undefined
}

/** Passing troubles of a server (those that containers/image and regclient retry). */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504])

/** Whether an HTTP status says that the same request may succeed a little later. */
export function isTransientStatus(status: number): boolean {
  return TRANSIENT_STATUSES.has(status)
}

/** Runs `attempt` until it succeeds, fails for good, or has been tried often enough. */
export async function retrying<T>(
  attempt: () => Promise<T>,
  { policy, signal, action, hasProgressed }: RetryOptions,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof TransientFailure)) throw error
      if (hasProgressed?.() === true) tries = 1
      const waitMs = error.retryAfterMs ?? policy.baseDelayMs * 2 ** (tries - 1) * (0.5 + Math.random() / 2)
      if (tries >= policy.attempts || (error.retryAfterMs ?? 0) > policy.maxDelayMs) throw error.error
      await sleep(Math.min(waitMs, policy.maxDelayMs), signal, action, policy.wait)
    }
  }
}

/** The Retry-After header (RFC 9110 §10.2.3), seconds or a date, in milliseconds from `nowMs`. */
export function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000
  const dateMs = Date.parse(header)
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs)
}

async function sleep(
  ms: number,
  signal: AbortSignal | undefined,
  action: string,
  wait: RetryPolicy['wait'] = (span, aborted) =>
    delay(span, undefined, aborted === undefined ? {} : { signal: aborted }),
): Promise<void> {
  try {
    await wait(ms, signal)
  } catch (error) {
    throw cancelled(action, error)
  }
}
