// Long computations take breaths: other work of the process gets its turn, and a cancel is heard.

import { setImmediate } from 'node:timers/promises'
import { throwIfCancelled } from './errors.ts'

/** Longer than this nothing else waits. */
const STRETCH_MS = 4
/** Looking at the clock costs as much as a small step. */
const STEPS_PER_LOOK = 64

export class Breather {
  readonly #signal: AbortSignal | undefined
  readonly #action: string
  #steps = 0
  #lastBreath = performance.now()

  /** `action` completes "Cannot …: cancelled". */
  constructor(signal: AbortSignal | undefined, action: string) {
    this.#signal = signal
    this.#action = action
  }

  /** Counts a small step; true when it is time to `breathe`. */
  isDue(): boolean {
    this.#steps = (this.#steps + 1) % STEPS_PER_LOOK
    return this.#steps === 0 && performance.now() - this.#lastBreath > STRETCH_MS
  }

  /** Lets others have their turn. Throws `oci.cancelled`. */
  async breathe(): Promise<void> {
    await setImmediate()
    throwIfCancelled(this.#signal, this.#action)
    this.#lastBreath = performance.now()
  }
}
