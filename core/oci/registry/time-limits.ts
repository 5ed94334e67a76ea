// How long servers may take. A body that comes drop by drop never falls silent, so it has to reach a pace as well.

import { OciError } from '../errors.ts'
import { TransientFailure } from './backoff.ts'

export interface TimeLimits {
  readonly connectMs: number
  /** How long a server may think before it answers, and how long a body may stand still. */
  readonly silenceMs: number
  /** In any such span of waiting at least `paceBytes` of a body have to come. */
  readonly paceMs: number
  readonly paceBytes: number
}

/** One KiB a second is less than any line gives on which somebody would wait for an image. */
export const DEFAULT_TIME_LIMITS: TimeLimits = {
  connectMs: 15_000,
  silenceMs: 60_000,
  paceMs: 60_000,
  paceBytes: 60 * 1024,
}

/**
 * Passes a body on while it keeps the pace. Only time spent waiting for the server counts, not what the reader takes.
 * Throws `TransientFailure`.
 */
export async function* atPace(
  body: AsyncIterable<Buffer>,
  { paceMs, paceBytes }: TimeLimits,
  host: string,
): AsyncGenerator<Buffer, void, void> {
  let waitedMs = 0
  let cameBytes = 0
  let askedAt = performance.now()
  for await (const chunk of body) {
    waitedMs += performance.now() - askedAt
    cameBytes += chunk.length
    if (cameBytes >= paceBytes) {
      waitedMs = 0
      cameBytes = 0
    } else if (waitedMs > paceMs) {
      const seconds = Math.round(waitedMs / 1000)
      throw new TransientFailure(
        new OciError('oci.offline', `Cannot read from ${host}: only ${cameBytes} bytes came in ${seconds} s`),
      )
    }
    yield chunk
    askedAt = performance.now()
  }
}
