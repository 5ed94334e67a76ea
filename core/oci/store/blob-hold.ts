// Keeps blobs from being swept while somebody works with them, though no reference leads to them (yet, or any more).

import type { Digest } from '../digest.ts'

/** Blobs that somebody works with; disposing it lets them go. */
export class BlobHold implements Disposable {
  readonly #holds: BlobHolds
  readonly #mine = new Set<Digest>()

  constructor(holds: BlobHolds) {
    this.#holds = holds
  }

  add(...digests: readonly Digest[]): void {
    for (const digest of digests) {
      if (this.#mine.has(digest)) continue
      this.#mine.add(digest)
      this.#holds.add(digest)
    }
  }

  [Symbol.dispose](): void {
    for (const digest of this.#mine) this.#holds.release(digest)
    this.#mine.clear()
  }
}

/** What a sweep may not touch. It ends with the sweep. */
export interface HeldDuringSweep extends Disposable {
  /** Whether the blob is held, or was at any time since the sweep began. */
  has(digest: Digest): boolean
}

/** All holds of a store. */
export class BlobHolds {
  readonly #counts = new Map<Digest, number>()
  readonly #sweeps = new Set<Set<Digest>>()

  add(digest: Digest): void {
    this.#counts.set(digest, (this.#counts.get(digest) ?? 0) + 1)
    for (const seen of this.#sweeps) seen.add(digest)
  }

  release(digest: Digest): void {
    const count = (this.#counts.get(digest) ?? 1) - 1
    if (count === 0) this.#counts.delete(digest)
    else this.#counts.set(digest, count)
  }

  /**
   * Begins a sweep, before it asks which blobs are wanted. Careful: a pull that ends meanwhile makes its reference and
   * lets its blobs go; the sweep may have read the references before that, so to it these blobs are still held.
   */
  startSweep(): HeldDuringSweep {
    const seen = new Set(this.#counts.keys())
    this.#sweeps.add(seen)
    return {
      has: (digest) => seen.has(digest),
      [Symbol.dispose]: () => void this.#sweeps.delete(seen),
    }
  }
}
