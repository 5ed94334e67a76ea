// Waiting for a job of the core host (a pull, an import, an export) with its progress.
import type { Job } from '../api/methods.ts'
import type { CallOptions, CoreClient } from './core-client.ts'
import { CoreError, clientError, coreErrorFromBody } from './core-error.ts'

export interface JobOptions extends CallOptions {
  /** Told every state that is seen, the last one too. */
  readonly onProgress?: (job: Job) => void
}

/**
 * Waits until a job is done and returns its last state. Rejects with the job's own error where it failed.
 * Aborting leaves the job: it ends at the core host too, unless somebody else asked for the same. Then it rejects with
 * `client.cancelled`; `isLeftToOthers` says which it was.
 */
export async function waitForJob(client: CoreClient, id: string, options: JobOptions = {}): Promise<Job> {
  const { signal, onProgress } = options
  const finished = Promise.withResolvers<Job>()
  let revision: number | undefined
  const see = (job: Job) => {
    onProgress?.(job)
    if (job.state !== 'running') finished.resolve(job)
  }
  const look = () => client.request('jobs.get', { job: id }, { signal }).then(see, finished.reject)
  const { promise: interrupted, reject } = Promise.withResolvers<never>()
  // Each may be rejected before somebody waits for it.
  interrupted.catch(() => {})
  finished.promise.catch(() => {})
  const onAbort = () => reject(clientError('client.cancelled', 'The job was given up'))
  signal?.addEventListener('abort', onAbort, { once: true })
  using _events = client.onEvent(({ revision: seen, event }) => {
    if (event.type === 'job' && event.job.id === id) see(event.job)
    else if (revision !== undefined && seen > revision + 1) void look() // Something was missed.
    revision = seen
  })
  try {
    if (signal?.aborted) onAbort()
    await client.request('events.subscribe', {}, { signal })
    await look()
    const job = await Promise.race([finished.promise, interrupted, lost(client)])
    if (job.state === 'done') return job
    const fallback = { code: 'client.cancelled', message: `${job.title}: ${job.state}` }
    throw coreErrorFromBody(job.error, fallback)
  } catch (error) {
    if (!signal?.aborted) throw error
    const left = await client.request('jobs.leave', { job: id }).catch(() => undefined)
    throw clientError('client.cancelled', 'The job was given up', {
      cause: error,
      ...(left === undefined ? {} : { data: left }),
    })
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

/**
 * Of what `waitForJob` rejected with after an abort: whether the job goes on for others. False where it has ended,
 * undefined where that is not known.
 */
export function isLeftToOthers(error: unknown): boolean | undefined {
  const isGivenUp = error instanceof CoreError && error.code === 'client.cancelled'
  const ended = isGivenUp ? error.data?.ended : undefined
  return typeof ended === 'boolean' ? !ended : undefined
}

async function lost(client: CoreClient): Promise<never> {
  const error = await client.closed
  throw error ?? clientError('client.closed', 'The connection was closed')
}
