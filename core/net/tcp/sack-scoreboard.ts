// What the guest says it has beyond a gap (RFC 2018 §5): ranges in order, so that only the holes between them are sent
// again. A bounded number of them: more are forgotten, which costs a retransmission and nothing else.

const MAX_RANGES = 32

export class SackScoreboard {
  /** All ranges together. */
  sizeBytes = 0
  #count = 0
  readonly #starts = new Int32Array(MAX_RANGES)
  readonly #ends = new Int32Array(MAX_RANGES)

  get isEmpty(): boolean {
    return this.#count === 0
  }

  /** Behind the highest byte; only while not empty. */
  get highest(): number {
    return this.#ends[this.#count - 1] ?? 0
  }

  /** Adds a range, which the caller has checked against what is in flight. True where it brings news. */
  add(start: number, end: number): boolean {
    const starts = this.#starts
    const ends = this.#ends
    let at = 0
    while (at < this.#count && (((ends[at] ?? 0) - start) | 0) < 0) at++
    let last = at
    let from = start
    let to = end
    let known = 0
    while (last < this.#count && (((starts[last] ?? 0) - end) | 0) <= 0) {
      const rangeStart = starts[last] ?? 0
      const rangeEnd = ends[last] ?? 0
      known += (rangeEnd - rangeStart) | 0
      if (((rangeStart - from) | 0) < 0) from = rangeStart
      if (((rangeEnd - to) | 0) > 0) to = rangeEnd
      last++
    }
    const merged = (to - from) | 0
    if (last - at === 1 && merged === known) return false
    if (last === at) {
      if (this.#count === MAX_RANGES) return false
      starts.copyWithin(at + 1, at, this.#count)
      ends.copyWithin(at + 1, at, this.#count)
      this.#count++
    } else if (last - at > 1) {
      starts.copyWithin(at + 1, last, this.#count)
      ends.copyWithin(at + 1, last, this.#count)
      this.#count -= last - at - 1
    }
    starts[at] = from
    ends[at] = to
    this.sizeBytes += merged - known
    return true
  }

  /** Forgets what lies before `sequence`. */
  release(sequence: number): void {
    const starts = this.#starts
    const ends = this.#ends
    let gone = 0
    while (gone < this.#count && (((ends[gone] ?? 0) - sequence) | 0) <= 0) {
      this.sizeBytes -= ((ends[gone] ?? 0) - (starts[gone] ?? 0)) | 0
      gone++
    }
    if (gone > 0) {
      starts.copyWithin(0, gone, this.#count)
      ends.copyWithin(0, gone, this.#count)
      this.#count -= gone
    }
    const first = starts[0] ?? 0
    if (this.#count > 0 && ((first - sequence) | 0) < 0) {
      this.sizeBytes -= (sequence - first) | 0
      starts[0] = sequence
    }
  }

  /** `sequence`, or the end of the range that it lies in: where a hole begins. */
  holeFrom(sequence: number): number {
    for (let at = 0; at < this.#count; at++) {
      if ((((this.#starts[at] ?? 0) - sequence) | 0) > 0) return sequence
      const end = this.#ends[at] ?? 0
      if (((end - sequence) | 0) > 0) return end
    }
    return sequence
  }

  /** Bytes from `sequence`, which lies in a hole, to the next range; `otherwise` behind the last. */
  holeBytes(sequence: number, otherwise: number): number {
    for (let at = 0; at < this.#count; at++) {
      const bytes = ((this.#starts[at] ?? 0) - sequence) | 0
      if (bytes > 0) return bytes
    }
    return otherwise
  }

  clear(): void {
    this.#count = 0
    this.sizeBytes = 0
  }
}
