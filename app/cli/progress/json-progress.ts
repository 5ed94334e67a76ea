// `--progress json`: a JSON object a line, for programs. The help of the verbs has the shapes.
import type { Job } from '../../../core/api/methods.ts'

export class JsonProgress {
  readonly #print: (line: string) => Promise<void>
  #written: Promise<void> = Promise.resolve()

  constructor(print: (line: string) => Promise<void>) {
    this.#print = print
  }

  show(job: Job): void {
    const line = `${JSON.stringify(jsonState(job))}\n`
    this.#written = this.#written.then(() => this.#print(line))
    this.#written.catch(() => {}) // `end` tells of it.
  }

  /** Rejects where nobody reads any more. */
  end(): Promise<void> {
    return this.#written
  }
}

/** A state of a job as programs get it. */
export function jsonState({ state, progress, references, error }: Job): Record<string, unknown> {
  const { rateLimit } = progress
  switch (state) {
    case 'running':
      return { type: 'progress', ...progress }
    case 'done':
      return { type: 'done', references, ...(rateLimit === undefined ? {} : { rateLimit }) }
    case 'failed':
      return { type: 'failed', error }
    case 'cancelled':
      return { type: 'cancelled' }
  }
}
