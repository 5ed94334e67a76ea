// Finds the flow of a frame: open addressing with linear probing, a keyed hash, and the hashes in a typed array of their
// own, so that a search reads flows only where all 32 bits agree. Removing closes the gap (Knuth 6.4, algorithm R): there
// are no tombstones that would build up under many short flows.
import { FlowHash } from './flow-hash.ts'
import type { TableFlow } from './table-flow.ts'

const FIRST_CAPACITY = 1024

export class FlowTable<F extends TableFlow> {
  readonly #hash: FlowHash
  #hashes = new Int32Array(FIRST_CAPACITY)
  #flows: (F | undefined)[] = new Array<F | undefined>(FIRST_CAPACITY).fill(undefined)
  #mask = FIRST_CAPACITY - 1
  #size = 0

  constructor(hash = new FlowHash()) {
    this.#hash = hash
  }

  get size(): number {
    return this.#size
  }

  find(
    guestIndex: number,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    guestPort: number,
    remotePort: number,
  ): F | undefined {
    const hash = this.#hash.of(guestIndex, remote0, remote1, remote2, remote3, guestPort, remotePort)
    for (let at = hash & this.#mask; ; at = (at + 1) & this.#mask) {
      const flow = this.#flows[at]
      if (flow === undefined) return undefined
      if (
        this.#hashes[at] === hash &&
        flow.remote3 === remote3 &&
        flow.guestPort === guestPort &&
        flow.remotePort === remotePort &&
        flow.guestIndex === guestIndex &&
        flow.remote2 === remote2 &&
        flow.remote1 === remote1 &&
        flow.remote0 === remote0
      )
        return flow
    }
  }

  /** Adds a flow whose key is not in the table. */
  insert(flow: F): void {
    if (this.#size * 2 >= this.#flows.length) this.#grow()
    this.#place(flow, this.#hashOf(flow))
    this.#size++
  }

  /** Removes this very flow; does nothing where it is not in the table. */
  remove(flow: F): void {
    const flows = this.#flows
    const hashes = this.#hashes
    let hole = this.#hashOf(flow) & this.#mask
    while (flows[hole] !== flow) {
      if (flows[hole] === undefined) return
      hole = (hole + 1) & this.#mask
    }
    this.#size--
    for (let at = (hole + 1) & this.#mask; ; at = (at + 1) & this.#mask) {
      const next = flows[at]
      if (next === undefined) break
      const hash = hashes[at] ?? 0
      // It may fill the hole unless its own place lies behind the hole.
      if (((at - hash) & this.#mask) < ((at - hole) & this.#mask)) continue
      flows[hole] = next
      hashes[hole] = hash
      hole = at
    }
    flows[hole] = undefined
  }

  /** All flows, in no order. The table must not change meanwhile: take a copy to remove some. */
  *values(): Iterable<F> {
    for (const flow of this.#flows) if (flow !== undefined) yield flow
  }

  #hashOf(flow: F): number {
    return this.#hash.of(
      flow.guestIndex,
      flow.remote0,
      flow.remote1,
      flow.remote2,
      flow.remote3,
      flow.guestPort,
      flow.remotePort,
    )
  }

  #place(flow: F, hash: number): void {
    let at = hash & this.#mask
    while (this.#flows[at] !== undefined) at = (at + 1) & this.#mask
    this.#flows[at] = flow
    this.#hashes[at] = hash
  }

  #grow(): void {
    const flows = this.#flows
    const hashes = this.#hashes
    const capacity = flows.length * 2
    this.#flows = new Array<F | undefined>(capacity).fill(undefined)
    this.#hashes = new Int32Array(capacity)
    this.#mask = capacity - 1
    for (let at = 0; at < flows.length; at++) {
      const flow = flows[at]
      if (flow !== undefined) this.#place(flow, hashes[at] ?? 0)
    }
  }
}
