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

/** Whoever asks for jobs, as one object of his own: a connection. */
export type Asker = object

export interface NewJob {
  readonly kind: JobKind
  /** What a person would call it: `Pull busybox:latest`. */
  readonly title: string
  /** Whoever asks for work of the same key while it runs joins it. Left out: nobody else can. */
  readonly sharedBy?: string | undefined
  /** Who may leave it. Left out: somebody who never leaves. */
  readonly asker?: Asker | undefined
  /** Resolves to the references that it brought. */
  readonly work: (control: JobControl) => Promise<readonly string[]>
}

interface RunningJob {
  job: Job
  readonly abort: AbortController
  readonly done: Promise<readonly string[]>
  readonly sharedBy: string | undefined
  /** Those who asked for it and have not left. */
  readonly askers: Set<Asker>
  lastEventMs: number
  /** For progress that came too soon after the last event. */
  timer: NodeJS.Timeout | undefined
}

const keptFinished = 50
const eventIntervalMs = 100

export class Jobs {
  readonly #events: EventHub
  readonly #now: () => number
  readonly #jobs = new Map<string, RunningJob>()
  readonly #shared = new Map<string, RunningJob>()

  constructor(events: EventHub, now: () => number) {
    this.#events = events
    this.#now = now
  }

  /** Starts a job, or joins the one that does the same. It goes on whether or not who asked is still there. */
  start(request: NewJob): Job {
    const { sharedBy, asker = {} } = request
    const shared = sharedBy === undefined ? undefined : this.#shared.get(sharedBy)
    const running = shared ?? this.#start(request)
    running.askers.add(asker)
    return running.job
  }

  list(): Job[] {
    return [...this.#jobs.values()].map(({ job }) => job)
  }

  get(id: string): Job {
    return this.#find(id).job
  }

  /** False also for one that is long forgotten. */
  isRunning(id: string): boolean {
    return this.#jobs.get(id)?.job.state === 'running'
  }

  /** Ends a job for all who asked for it. */
  cancel(id: string): void {
    this.#end(this.#find(id))
  }

  /**
   * Gives a job up for one of those who asked for it, however often he did: it ends when the last has. Who did not ask, or
   * has left, leaves nothing. Returns whether it is at its end: false where it goes on for others.
   */
  leave(id: string, asker: Asker): boolean {
    const running = this.#find(id)
    if (running.askers.delete(asker) && running.askers.size === 0) this.#end(running)
    return running.abort.signal.aborted || running.job.state !== 'running'
  }

  /** Ends all that runs; resolves when it has ended. */
  async close(): Promise<void> {
    for (const running of this.#jobs.values()) this.#end(running)
    await Promise.allSettled([...this.#jobs.values()].map(({ done }) => done))
  }

  #start({ kind, title, sharedBy, work }: NewJob): RunningJob {
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
      sharedBy,
      askers: new Set(),
      lastEventMs: 0,
      timer: undefined,
      done: Promise.resolve().then(() =>
        work({ signal: abort.signal, progress: (progress) => this.#progress(running, progress) }),
      ),
    }
    this.#jobs.set(job.id, running)
    if (sharedBy !== undefined) this.#shared.set(sharedBy, running)
    this.#publish(running)
    running.done.then(
      (references) => this.#finish(running, { state: 'done', references: [...references] }),
      (error: unknown) =>
        this.#finish(
          running,
          abort.signal.aborted ? { state: 'cancelled' } : { state: 'failed', error: errorBody(error) },
        ),
    )
    return running
  }

  #end(running: RunningJob): void {
    // Who asks from now on gets a new one: this one will not bring what they want.
    this.#unshare(running)
    running.abort.abort()
  }

  #unshare(running: RunningJob): void {
    const { sharedBy } = running
    if (sharedBy !== undefined && this.#shared.get(sharedBy) === running) this.#shared.delete(sharedBy)
  }

  #find(id: string): RunningJob {
    const running = this.#jobs.get(id)
    if (running === undefined) throw new GuestError('job.not-found', `There is no job "${id}"`)
    return running
  }

  #progress(running: RunningJob, progress: JobProgress): void {
    if (running.job.state !== 'running') return
    running.job = { ...running.job, progress }
    const waitMs = running.lastEventMs + eventIntervalMs - this.#now()
    if (waitMs <= 0) this.#publish(running)
    else running.timer ??= setTimeout(() => this.#publish(running), waitMs)
  }

  #finish(running: RunningJob, end: Partial<Job>): void {
    this.#unshare(running)
    running.askers.clear()
    running.job = { ...running.job, ...end, finishedAt: new Date(this.#now()).toISOString() }
    this.#publish(running)
    const finished = [...this.#jobs.values()].filter(({ job }) => job.state !== 'running')
    for (const old of finished.slice(0, Math.max(0, finished.length - keptFinished)))
      this.#jobs.delete(old.job.id)
  }

  #publish(running: RunningJob): void {
    clearTimeout(running.timer)
    running.timer = undefined
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
