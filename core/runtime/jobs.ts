// Long work that outlives the request that asked for it: its progress, its end, its cancelling.
import { randomUUID } from 'node:crypto'
import type { ErrorBody, Job, JobKind, JobProgress } from '../api/methods.ts'
import { BulkheadError } from '../errors.ts'
import { GuestError } from './errors.ts'
import type { EventHub } from './event-hub.ts'

export interface JobControl {
  readonly signal: AbortSignal
  progress(progress: JobProgress): void
}

interface RunningJob {
  job: Job
  readonly abort: AbortController
  readonly done: Promise<readonly string[]>
  lastEventMs: number
}

const keptFinished = 50
const eventIntervalMs = 100

export class Jobs {
  readonly #events: EventHub
  readonly #now: () => number
  readonly #jobs = new Map<string, RunningJob>()

  constructor(events: EventHub, now: () => number) {
    this.#events = events
    this.#now = now
  }

  /** Starts `work`, which resolves to the references that it brought. */
  start(kind: JobKind, title: string, work: (control: JobControl) => Promise<readonly string[]>): Job {
    const abort = new AbortController()
    const job: Job = {
      id: randomUUID(),
      kind,
      title,
      state: 'running',
      startedAt: new Date(this.#now()).toISOString(),
      progress: { phase: 'start', bytesDone: 0, bytesTotal: 0, layers: [] },
      references: [],
    }
    const running: RunningJob = {
      job,
      abort,
      lastEventMs: 0,
      done: Promise.resolve().then(() =>
        work({ signal: abort.signal, progress: (progress) => this.#progress(running, progress) }),
      ),
    }
    this.#jobs.set(job.id, running)
    this.#publish(running)
    running.done.then(
      (references) => this.#finish(running, { state: 'done', references: [...references] }),
      (error: unknown) =>
        this.#finish(
          running,
          abort.signal.aborted ? { state: 'cancelled' } : { state: 'failed', error: errorBody(error) },
        ),
    )
    return job
  }

  list(): Job[] {
    return [...this.#jobs.values()].map(({ job }) => job)
  }

  get(id: string): Job {
    return this.#find(id).job
  }

  cancel(id: string): void {
    this.#find(id).abort.abort()
  }

  /** Ends all that runs; resolves when it has ended. */
  async close(): Promise<void> {
    for (const { abort } of this.#jobs.values()) abort.abort()
    await Promise.allSettled([...this.#jobs.values()].map(({ done }) => done))
  }

  #find(id: string): RunningJob {
    const running = this.#jobs.get(id)
    if (running === undefined) throw new GuestError('job.not-found', `There is no job "${id}"`)
    return running
  }

  #progress(running: RunningJob, progress: JobProgress): void {
    if (running.job.state !== 'running') return
    const isNewPhase = running.job.progress.phase !== progress.phase
    running.job = { ...running.job, progress }
    if (isNewPhase || this.#now() - running.lastEventMs >= eventIntervalMs) this.#publish(running)
  }

  #finish(running: RunningJob, end: Partial<Job>): void {
    running.job = { ...running.job, ...end, finishedAt: new Date(this.#now()).toISOString() }
    this.#publish(running)
    const finished = [...this.#jobs.values()].filter(({ job }) => job.state !== 'running')
    for (const old of finished.slice(0, Math.max(0, finished.length - keptFinished)))
      this.#jobs.delete(old.job.id)
  }

  #publish(running: RunningJob): void {
    running.lastEventMs = this.#now()
    this.#events.publish({ type: 'job', job: running.job })
  }
}

/** An error as it travels to clients. */
export function errorBody(error: unknown): ErrorBody {
  if (error instanceof BulkheadError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.data === undefined ? {} : { data: { ...error.data } }),
    }
  }
  return {
    code: 'internal',
    message: `The core host failed at something it did not expect: ${error instanceof Error ? error.message : String(error)}`,
    hint: "Its log says more: journalctl -u bulkhead-core, or the log file in the lab's folder.",
  }
}
