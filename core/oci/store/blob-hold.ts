// Keeps blobs from being swept while somebody works with them, though no reference leads to them (yet, or any more).

import type { Digest } from '../digest.ts'

/** Blobs that somebody works with; disposing it lets them go. */
export class BlobHold implements Disposable {
  readonly #held: Map<Digest, number>
  readonly #mine = new Set<Digest>()

  constructor(held: Map<Digest, number>) {
    this.#held = held
  }

  add(...digests: readonly Digest[]): void {
    for (const digest of digests) {
      if (this.#mine.has(digest)) continue
      this.#mine.add(digest)
      this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1)
    }
  }

  [Symbol.dispose](): void {
    for (const digest of this.#mine) {
      const count = (this.#held.get(digest) ?? 1) - 1
      if (count === 0) this.#held.delete(digest)
      else this.#held.set(digest, count)
    }
    this.#mine.clear()
  }
}
