// Segments beyond a gap: kept, in runs without gaps, until what is missing arrives (RFC 9293 §3.10.7.4). Where segments
// overlap, the first copy of a byte wins. The runs are what SACK blocks tell the guest (RFC 2018 §4).
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { LARGE_SLOT_BYTES, type Slot, type SlotHolder, type SlotPool, SMALL_SLOT_BYTES } from './slot-pool.ts'

/** Of one flow: an honest path makes a handful, and every frame walks them. */
const MAX_RUNS = 128
/** What fits beside no other option (RFC 2018 §3). */
const MAX_SACK_BLOCKS = 4
/** A run of at least this goes on in large slots. */
const LARGE_RUN_BYTES = 2 * SMALL_SLOT_BYTES

class Run {
  start: number
  end: number
  /** Which arrival touched it last: the newest is told first. */
  touched = 0
  head: Slot | undefined = undefined
  tail: Slot | undefined = undefined
  next: Run | undefined = undefined

  constructor(start: number) {
    this.start = start
    this.end = start
  }
}

export class OutOfOrder {
  runCount = 0
  readonly #pool: SlotPool
  readonly #holder: SlotHolder
  #first: Run | undefined = undefined
  #arrivals = 0

  constructor(pool: SlotPool, holder: SlotHolder) {
    this.#pool = pool
    this.#holder = holder
  }

  get isEmpty(): boolean {
    return this.#first === undefined
  }

  /** Keeps the bytes from `sequence` on that are not here yet, as far as there is room. */
  insert(sequence: number, buffer: PinnedBuffer, offset: number, length: number): void {
    const end = (sequence + length) | 0
    const arrival = ++this.#arrivals
    let at = sequence
    let from = offset
    let previous: Run | undefined
    let run = this.#first
    while (((end - at) | 0) > 0) {
      while (run !== undefined && ((run.end - at) | 0) < 0) {
        previous = run
        run = run.next
      }
      if (run === undefined || ((run.start - at) | 0) > 0) {
        if (this.runCount >= MAX_RUNS) return
        run = this.#link(new Run(at), previous)
      }
      run.touched = arrival
      const known = (run.end - at) | 0
      if (known > 0) {
        from += known
        at = run.end
        if (((end - at) | 0) <= 0) return
      }
      const { next } = run as { next: Run | undefined }
      const limit = next !== undefined && ((next.start - end) | 0) < 0 ? next.start : end
      const part = (limit - at) | 0
      const kept = this.#store(run, buffer, from, part)
      if (kept < part) {
        if (run.head === undefined) this.#unlink(run, previous)
        return
      }
      from += part
      at = limit
      if (next !== undefined && run.end === next.start) this.#merge(run, next)
    }
  }

  /**
   * Hands out the first slot when it begins at or before `receiveNext`; its bytes from `start` to `used` have the sequence
   * numbers from `sequence` on. Who gets it gives it back to the pool. Undefined while a gap is left.
   */
  takeReady(receiveNext: number): Slot | undefined {
    const run = this.#first
    if (run === undefined || ((run.start - receiveNext) | 0) > 0) return undefined
    const slot = run.head
    if (slot === undefined) return undefined
    run.head = slot.next
    slot.next = undefined
    run.start = (slot.sequence + slot.used) | 0
    if (run.head === undefined) this.#unlink(run, undefined)
    return slot
  }

  /** Writes the edges of up to four runs, the one touched last first: their number. */
  sackBlocks(into: Int32Array): number {
    let count = 0
    let newest = Number.POSITIVE_INFINITY
    while (count < MAX_SACK_BLOCKS) {
      let best: Run | undefined
      for (let run = this.#first; run !== undefined; run = run.next)
        if (run.touched < newest && (best === undefined || run.touched > best.touched)) best = run
      if (best === undefined) break
      into[count * 2] = best.start
      into[count * 2 + 1] = best.end
      newest = best.touched
      count++
    }
    return count
  }

  clear(): void {
    for (let run = this.#first; run !== undefined; run = run.next) {
      for (let slot = run.head; slot !== undefined; ) {
        const { next } = slot as { next: Slot | undefined }
        this.#pool.give(this.#holder, slot)
        slot = next
      }
    }
    this.#first = undefined
    this.runCount = 0
  }

  #store(run: Run, buffer: PinnedBuffer, offset: number, length: number): number {
    let done = 0
    while (done < length) {
      let slot = run.tail
      if (slot === undefined || slot.used === slot.sizeBytes) {
        const isLarge = length - done > SMALL_SLOT_BYTES || ((run.end - run.start) | 0) >= LARGE_RUN_BYTES
        slot = this.#pool.take(this.#holder, isLarge ? LARGE_SLOT_BYTES : SMALL_SLOT_BYTES)
        if (slot === undefined) break
        slot.sequence = run.end
        if (run.tail === undefined) run.head = slot
        else run.tail.next = slot
        run.tail = slot
      }
      const part = Math.min(length - done, slot.sizeBytes - slot.used)
      slot.buffer.bytes.set(buffer.bytes.subarray(offset + done, offset + done + part), slot.used)
      slot.used += part
      done += part
      run.end = (run.end + part) | 0
    }
    return done
  }

  #link(run: Run, previous: Run | undefined): Run {
    this.runCount++
    if (previous === undefined) {
      run.next = this.#first
      this.#first = run
    } else {
      run.next = previous.next
      previous.next = run
    }
    return run
  }

  #unlink(run: Run, previous: Run | undefined): void {
    this.runCount--
    if (previous === undefined) this.#first = run.next
    else previous.next = run.next
  }

  #merge(run: Run, next: Run): void {
    if (run.tail !== undefined) run.tail.next = next.head
    run.tail = next.tail
    run.end = next.end
    run.touched = Math.max(run.touched, next.touched)
    run.next = next.next
    this.runCount--
  }
}
