// Answers to the page: `{ok}` or `{error}` with code, sentence and hint. Electron would pass on the message only.
import type { ErrorBody } from '../../core/api/methods.ts'
import { BulkheadError } from '../../core/errors.ts'
import type { Envelope } from '../preload/api.ts'

/** What a page may know of a failure. */
export function errorBodyOf(error: unknown): ErrorBody {
  if (error instanceof BulkheadError)
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.data === undefined ? {} : { data: { ...error.data } }),
    }
  return { code: 'app.internal', message: error instanceof Error ? error.message : String(error) }
}

/** Runs `action` and puts what came of it into an envelope. */
export async function envelopeOf<T>(action: () => Promise<T>): Promise<Envelope<T>> {
  try {
    return { ok: await action() }
  } catch (error) {
    return { error: errorBodyOf(error) }
  }
}
