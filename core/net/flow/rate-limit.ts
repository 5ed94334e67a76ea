// So many a second and no more: new flows, ICMP errors, echoes, DNS queries of one guest. A token bucket.

export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #filledAtMs = Number.NEGATIVE_INFINITY

  /** Allows `burst` at once and `perSecond` in the long run. It begins full. */
  constructor(perSecond: number, burst: number = perSecond) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#tokens = burst
  }

  /** Takes one. False where none is left. `nowMs` is of the loop's clock and never goes back. */
  take(nowMs: number): boolean {
    if (nowMs > this.#filledAtMs) {
      // Careful: the first time the interval is infinite, and Infinity × 0 is NaN for a bucket that is never filled.
      if (this.#filledAtMs !== Number.NEGATIVE_INFINITY)
        this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs)
      this.#filledAtMs = nowMs
    }
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
