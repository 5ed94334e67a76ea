// So many at a time: whoever comes when all places are taken waits for one, in the order of coming.

import { cancelled } from '../errors.ts'

export class Slots {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(count: number) {
    this.#free = count
  }

  /** Waits for a place, which is free again when the result is disposed. Throws `oci.cancelled`. */
  async take(signal: AbortSignal, action: string): Promise<Disposable> {
    if (signal.aborted) throw cancelled(action, signal.reason)
    if (this.#free > 0) this.#free -= 1
    else await this.#wait(signal, action)
    return { [Symbol.dispose]: () => this.#give() }
  }

  #wait(signal: AbortSignal, action: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const proceed = () => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = () => {
        this.#waiting.delete(proceed)
        reject(cancelled(action, signal.reason))
      }
      this.#waiting.add(proceed)
      signal.addEventListener('abort', leave, { once: true })
    })
  }

  #give(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(next)
    next()
  }
}
