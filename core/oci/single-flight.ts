// One task for each key, however many ask for it at the same time: a layer that two pulls share is downloaded once,
// a root image that two launches need is built once. The task ends early only when the last who asked has left.

import { cancelled } from './errors.ts'

export interface FlightContext<Progress> {
  /** Aborted when nobody waits for the result any more. */
  readonly signal: AbortSignal
  readonly report: (progress: Progress) => void
}

export interface FlightOptions<Progress> {
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Progress) => void) | undefined
}

interface Flight<Result, Progress> {
  readonly result: Promise<Result>
  readonly abort: AbortController
  readonly listeners: Set<(progress: Progress) => void>
  waiting: number
}

export class SingleFlight<Result, Progress> {
  readonly #flights = new Map<string, Flight<Result, Progress>>()

  /**
   * Runs `task`, or joins the run of the same key that is under way. A caller whose signal is aborted gets
   * `oci.cancelled`: at once while others wait for the result, else when the task has wound down. `action` completes
   * "Cannot …: cancelled".
   */
  async run(
    key: string,
    action: string,
    task: (context: FlightContext<Progress>) => Promise<Result>,
    { signal, onProgress }: FlightOptions<Progress> = {},
  ): Promise<Result> {
    if (signal?.aborted === true) throw cancelled(action, signal.reason)
    const flight = this.#flights.get(key) ?? this.#start(key, task)
    // One wrapper for each caller: two callers may pass the same function.
    const listener = (progress: Progress) => onProgress?.(progress)
    flight.listeners.add(listener)
    flight.waiting += 1
    try {
      return await abortable(flight.result, signal, action)
    } finally {
      flight.listeners.delete(listener)
      flight.waiting -= 1
      if (flight.waiting === 0) {
        // A later caller must not join a task that is being aborted.
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
        flight.abort.abort()
        // The last one leaves when everything is cleaned up.
        await flight.result.then(ignore, ignore)
      }
    }
  }

  #start(key: string, task: (context: FlightContext<Progress>) => Promise<Result>): Flight<Result, Progress> {
    const abort = new AbortController()
    const listeners = new Set<(progress: Progress) => void>()
    const report = (progress: Progress) => {
      for (const listener of listeners) listener(progress)
    }
    const previous = this.#endings.get(key) ?? Promise.resolve()
    const result = previous.then(() => task({ signal: abort.signal, report }))
    const flight = { result, abort, listeners, waiting: 0 }
    this.#flights.set(key, flight)
    const ending = result.then(ignore, ignore).then(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
      if (this.#endings.get(key) === ending) this.#endings.delete(key)
    })
    this.#endings.set(key, ending)
    return flight
  }

  /** Tasks that still wind down after their last caller left: the next of that key starts behind them. */
  readonly #endings = new Map<string, Promise<void>>()
}

function ignore(): void {}

function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined, action: string): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(cancelled(action, signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
