// How often a guest may wake us. A port that fires is masked until we unmask it, and a masked port costs nothing:
// a guest that sends events in a storm stays masked until its window is over. Pure: the clock is passed in.

const WINDOW_MS = 10
/** 20,000 events a second: beyond what a ring in full use needs, since both sides ask for events. */
const MAX_EVENTS_PER_WINDOW = 200
/** Events that brought nothing. Some are normal: every bind gives one. */
const MAX_EMPTY_EVENTS_PER_WINDOW = 20

export class EventLimit {
  #windowEndsMs = 0
  #events = 0
  #emptyEvents = 0

  /** Counts an event: undefined to unmask now, else the time (ms) until which the port stays masked. */
  countEvent(nowMs: number): number | undefined {
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + WINDOW_MS
      this.#events = 0
      this.#emptyEvents = 0
    }
    this.#events++
    const isExceeded = this.#events > MAX_EVENTS_PER_WINDOW || this.#emptyEvents > MAX_EMPTY_EVENTS_PER_WINDOW
    return isExceeded ? this.#windowEndsMs : undefined
  }

  /** The last event brought nothing. */
  countEmpty(): void {
    this.#emptyEvents++
  }
}
