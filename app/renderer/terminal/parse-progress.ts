// When to tell the sender how far the terminal has parsed: cumulative offsets, soon after a burst and at the latest
// after a quarter of the window; the tail of a burst is acknowledged too (docs/contracts/streams.md).

const quarterWindowBytes = 256 * 1024
const idleMs = 16

export interface Timer {
  set(action: () => void, ms: number): unknown
  clear(handle: unknown): void
}

export const realTimer: Timer = {
  set: (action, ms) => setTimeout(action, ms),
  clear: (handle) => clearTimeout(handle as ReturnType<typeof setTimeout>),
}

export class ParseProgress {
  readonly #acknowledge: (offset: number) => void
  readonly #timer: Timer
  #parsed = 0
  #acknowledged = 0
  #idle: unknown

  constructor(acknowledge: (offset: number) => void, timer: Timer = realTimer) {
    this.#acknowledge = acknowledge
    this.#timer = timer
  }

  /** Everything before `offset` was parsed. */
  parsedTo(offset: number): void {
    if (offset <= this.#parsed) return
    this.#parsed = offset
    if (this.#parsed - this.#acknowledged >= quarterWindowBytes) this.#send()
    else this.#idle ??= this.#timer.set(() => this.#send(), idleMs)
  }

  dispose(): void {
    this.#timer.clear(this.#idle)
    this.#idle = undefined
  }

  #send(): void {
    this.dispose()
    if (this.#parsed === this.#acknowledged) return
    this.#acknowledged = this.#parsed
    this.#acknowledge(this.#parsed)
  }
}
