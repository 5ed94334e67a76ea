// The tails that an image uses, equal ones once though they come from several layers. A hash table over the digests that
// stand in the segments' tables: eight bytes for each tail, where a Map would take over a hundred.

import type { SegmentTable, Tail } from './segment-table.ts'

export interface TailHome {
  /** Position of the segment that provides the tail. */
  readonly segment: number
  readonly tail: Tail
}

export class TailSet {
  readonly #tables: readonly SegmentTable[]
  /** Number of each segment's first tail, counted over all segments. */
  readonly #firsts: readonly number[]
  /** Numbers of tails and 1, each at the first free place from its hash on; 0 is free. */
  readonly #slots: Uint32Array

  constructor(tables: readonly SegmentTable[]) {
    this.#tables = tables
    const firsts: number[] = []
    let count = 0
    for (const { tailCount } of tables) {
      firsts.push(count)
      count += tailCount
    }
    this.#firsts = firsts
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(2 * count + 2)))
  }

  /** Adds a tail, unless an equal one is there; returns which one provides the bytes. */
  add(segment: number, tail: number): TailHome {
    const slot = this.#slotOf(segment, tail)
    if (this.#slots[slot] === 0) this.#slots[slot] = (this.#firsts[segment] ?? 0) + tail + 1
    return this.#homeAt(slot)
  }

  /** Which tail provides the bytes of one that was added. */
  homeOf(segment: number, tail: number): TailHome {
    return this.#homeAt(this.#slotOf(segment, tail))
  }

  /** Where an equal tail is, or where this one would go. */
  #slotOf(segment: number, tail: number): number {
    const digest = this.#tables[segment]?.tailDigest(tail)
    if (digest === undefined) throw new Error(`there is no segment ${segment}`)
    const mask = this.#slots.length - 1
    let slot = digest.readUInt32LE(0) & mask
    for (;;) {
      const number = this.#slots[slot] ?? 0
      if (number === 0) return slot
      const other = this.#locate(number - 1)
      if (this.#tables[other.segment]?.tailDigest(other.tail).equals(digest) === true) return slot
      slot = (slot + 1) & mask
    }
  }

  #homeAt(slot: number): TailHome {
    const number = this.#slots[slot] ?? 0
    const { segment, tail } = this.#locate(number - 1)
    const table = this.#tables[segment]
    if (number === 0 || table === undefined) throw new Error('a tail is not in the image')
    return { segment, tail: table.tail(tail) }
  }

  #locate(number: number): { segment: number; tail: number } {
    let low = 0
    let high = this.#firsts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#firsts[middle] ?? 0) <= number) low = middle
      else high = middle - 1
    }
    return { segment: low, tail: number - (this.#firsts[low] ?? 0) }
  }
}
