// The last bytes of a stream, addressed by their absolute offset. It grows on demand, and every byte can be
// placed in time. DESIGN 4.6.

const smallestBytes = 16 * 1024

/** Memory that all rings of a core host may take together. */
export class RingBudget {
  readonly limitBytes: number
  #usedBytes = 0

  constructor(limitBytes = 64 * 1024 * 1024) {
    this.limitBytes = limitBytes
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  take(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) return false
    this.#usedBytes += bytes
    return true
  }

  /** Memory that a ring cannot do without: its first 16 KiB are never refused. */
  takeAnyway(bytes: number): void {
    this.#usedBytes += bytes
  }

  give(bytes: number): void {
    this.#usedBytes -= bytes
  }
}

interface TimeMark {
  readonly offset: number
  readonly timeMs: number
}

export class ByteRing {
  readonly largestBytes: number
  readonly #budget: RingBudget
  #bytes = new Uint8Array(0)
  #end = 0
  #kept = 0
  #marks: TimeMark[] = []

  /** `largestBytes` must be a power of two times 16 KiB. */
  constructor(budget: RingBudget, largestBytes = 2 * 1024 * 1024) {
    this.#budget = budget
    this.largestBytes = largestBytes
  }

  /** Offset of the oldest byte that is still here. */
  get start(): number {
    return this.#end - this.#kept
  }

  /** Offset behind the newest byte. */
  get end(): number {
    return this.#end
  }

  /** Begins at `offset`: what came before went by without us. Only while nothing was appended. */
  beginAt(offset: number): void {
    if (this.#kept > 0) throw new RangeError('A ring that holds bytes cannot begin elsewhere')
    this.#end = offset
  }

  append(chunk: Uint8Array, timeMs: number): void {
    if (chunk.length === 0) return
    this.#mark(timeMs)
    this.#makeRoom(this.#kept + chunk.length)
    const capacity = this.#bytes.length
    // Only the tail of a chunk that is longer than the ring can stay.
    const tail = chunk.length > capacity ? chunk.subarray(chunk.length - capacity) : chunk
    const offset = this.#end + chunk.length - tail.length
    const at = offset % capacity
    const first = Math.min(tail.length, capacity - at)
    this.#bytes.set(tail.subarray(0, first), at)
    this.#bytes.set(tail.subarray(first), 0)
    this.#end += chunk.length
    this.#kept = Math.min(this.#kept + chunk.length, capacity)
    this.#dropOldMarks()
  }

  /** A copy of at most `most` bytes from `offset` on; empty at the end. `offset` must not lie before `start`. */
  read(offset: number, most: number): Uint8Array {
    if (offset < this.start)
      throw new RangeError(`Offset ${offset} is gone, the ring begins at ${this.start}`)
    const length = Math.max(0, Math.min(most, this.#end - offset))
    const out = new Uint8Array(length)
    if (length === 0) return out
    const at = offset % this.#bytes.length
    const first = Math.min(length, this.#bytes.length - at)
    out.set(this.#bytes.subarray(at, at + first))
    out.set(this.#bytes.subarray(0, length - first), first)
    return out
  }

  /** When the byte at `offset` came, in milliseconds since 1970; undefined where that is not known any more. */
  timeOf(offset: number): number | undefined {
    let low = 0
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const mark = this.#marks[middle]
      if (mark !== undefined && mark.offset <= offset) low = middle + 1
      else high = middle
    }
    return this.#marks[low - 1]?.timeMs
  }

  /** Gives the memory back; the ring is empty and can be used again. */
  release(): void {
    this.#budget.give(this.#bytes.length)
    this.#bytes = new Uint8Array(0)
    this.#kept = 0
    this.#marks = []
  }

  #makeRoom(wanted: number): void {
    const now = this.#bytes.length
    if (wanted <= now || now === this.largestBytes) return
    let next = Math.max(now, smallestBytes)
    while (next < wanted && next < this.largestBytes) next *= 2
    while (next > Math.max(now, smallestBytes) && !this.#budget.take(next - now)) next /= 2
    if (next <= now) return
    if (next === smallestBytes) this.#budget.takeAnyway(next)
    this.#resize(next)
  }

  /** Makes room for `bytes` whatever the budget says: a lossless reader must find all that it was promised. */
  reserve(bytes: number): void {
    let next = Math.max(this.#bytes.length, smallestBytes)
    while (next < bytes && next < this.largestBytes) next *= 2
    if (next <= this.#bytes.length) return
    this.#budget.takeAnyway(next - this.#bytes.length)
    this.#resize(next)
  }

  #resize(next: number): void {
    const old = this.read(this.start, this.#kept)
    this.#bytes = new Uint8Array(next)
    const at = this.start % next
    const first = Math.min(old.length, next - at)
    this.#bytes.set(old.subarray(0, first), at)
    this.#bytes.set(old.subarray(first), 0)
  }

  #mark(timeMs: number): void {
    const last = this.#marks.at(-1)
    if (last !== undefined && last.timeMs === timeMs) return
    this.#marks.push({ offset: this.#end, timeMs })
  }

  #dropOldMarks(): void {
    // One mark at or before the start must stay: it dates the oldest byte. Cut in bulk: amortised constant.
    if (this.#marks.length < 1024) return
    const start = this.start
    let gone = 0
    while (gone + 1 < this.#marks.length && (this.#marks[gone + 1]?.offset ?? Infinity) <= start) gone++
    if (gone > 256) this.#marks = this.#marks.slice(gone)
    // A stream of tiny pieces: keep every other mark rather than grow without bound.
    if (this.#marks.length > 65536) this.#marks = this.#marks.filter((_, index) => index % 2 === 0)
  }
}
