// Timers of the packet path: tens of thousands of them, started and stopped at every frame. A hashed wheel (Varghese and
// Lauck, scheme 6) of 10 ms slots: starting and stopping one is a few writes, and nothing is allocated for it.

/** Milliseconds of a slot: no timer is more exact. */
export const TICK_MS = 10
const SLOTS = 1024
/** The list of those that fire in this moment. */
const FIRING = SLOTS

/** A timer that belongs to its owner for the owner's life: at most once in the wheel. */
export class Timer {
  /** Of the wheel. */
  next: Timer | undefined
  previous: Timer | undefined
  slot = -1
  dueMs = 0
  readonly #fire: (nowMs: number) => void

  /** `fire` is called once for each start, at its time or up to a slot later. It may start the timer again. */
  constructor(fire: (nowMs: number) => void) {
    this.#fire = fire
  }

  get isRunning(): boolean {
    return this.slot >= 0
  }

  fire(nowMs: number): void {
    this.#fire(nowMs)
  }
}

export class TimerWheel {
  readonly #slots: (Timer | undefined)[] = new Array<Timer | undefined>(SLOTS + 1).fill(undefined)
  /** The tick up to which all was done. */
  #tick: number
  #running = 0
  readonly #onDefect: (error: unknown) => void

  /** `onDefect` is told what a timer throws: the others of its moment fire all the same. Without it, it is thrown on. */
  constructor(nowMs: number, onDefect?: (error: unknown) => void) {
    this.#tick = Math.floor(nowMs / TICK_MS)
    this.#onDefect =
      onDefect ??
      ((error) => {
        throw error
      })
  }

  /** How many timers run. */
  get running(): number {
    return this.#running
  }

  /** Starts `timer`, or moves it: it fires at `dueMs` (of the loop's clock) or up to a slot later, never before. */
  start(timer: Timer, dueMs: number): void {
    if (timer.slot >= 0) this.stop(timer)
    const tick = Math.max(Math.ceil(dueMs / TICK_MS), this.#tick + 1)
    timer.dueMs = tick * TICK_MS
    this.#link(timer, tick & (SLOTS - 1))
    this.#running++
  }

  /** Stops `timer` if it runs. */
  stop(timer: Timer): void {
    if (timer.slot < 0) return
    this.#unlink(timer)
    this.#running--
  }

  /** Fires all that are due by `nowMs`. */
  advance(nowMs: number): void {
    const target = Math.floor(nowMs / TICK_MS)
    if (target <= this.#tick) return
    // After a long sleep one round over the wheel sees every timer.
    const first = Math.max(this.#tick + 1, target - SLOTS + 1)
    this.#tick = target
    for (let tick = first; tick <= target && this.#running > 0; tick++)
      this.#fireSlot(tick & (SLOTS - 1), nowMs)
  }

  /** Milliseconds until something may be due, for epoll_wait: `longestMs` where nothing runs. */
  untilNext(nowMs: number, longestMs: number): number {
    if (this.#running === 0) return longestMs
    const steps = Math.ceil(longestMs / TICK_MS)
    for (let step = 1; step <= steps; step++) {
      if (this.#slots[(this.#tick + step) & (SLOTS - 1)] === undefined) continue
      return Math.max(0, Math.min(longestMs, (this.#tick + step) * TICK_MS - nowMs))
    }
    return longestMs
  }

  #fireSlot(slot: number, nowMs: number): void {
    // Careful: a timer that fires may start and stop others, in this slot too. All that are due move to a list of their own
    // first, which is linked like a slot, so that they can be stopped and moved from there.
    let timer = this.#slots[slot]
    while (timer !== undefined) {
      const next: Timer | undefined = timer.next
      if (timer.dueMs <= nowMs) {
        this.#unlink(timer)
        this.#link(timer, FIRING)
      }
      timer = next
    }
    for (let due = this.#slots[FIRING]; due !== undefined; due = this.#slots[FIRING]) {
      this.stop(due)
      try {
        due.fire(nowMs)
      } catch (error) {
        this.#onDefect(error)
      }
    }
  }

  #link(timer: Timer, slot: number): void {
    timer.slot = slot
    timer.previous = undefined
    timer.next = this.#slots[slot]
    if (timer.next !== undefined) timer.next.previous = timer
    this.#slots[slot] = timer
  }

  #unlink(timer: Timer): void {
    if (timer.previous === undefined) this.#slots[timer.slot] = timer.next
    else timer.previous.next = timer.next
    if (timer.next !== undefined) timer.next.previous = timer.previous
    timer.next = undefined
    timer.previous = undefined
    timer.slot = -1
  }
}
