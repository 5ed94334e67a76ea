// Packs small files together into fragments of one block each. Equal ones are stored once: they are known by their
// SHA-256, which costs less than compressing them again.

import { hash } from 'node:crypto'
import type { BlockBuffers } from './block-buffers.ts'
import type { BlockQueue } from './block-queue.ts'
import { BLOCK_BYTES } from './format.ts'
import type { StoredBlock, Tail } from './segment-table.ts'

export class FragmentPacker {
  readonly #queue: BlockQueue
  readonly #buffers: BlockBuffers
  readonly #known = new Map<string, number>()
  readonly #tails: (Tail & { readonly digest: string })[] = []
  readonly #stored: { start: number; storedSize: number }[] = []
  #buffer: Buffer
  #length = 0

  constructor(queue: BlockQueue, buffers: BlockBuffers) {
    this.#queue = queue
    this.#buffers = buffers
    this.#buffer = buffers.take()
  }

  /** Puts a file of less than one block into a fragment; returns its number. The bytes are copied. */
  add(bytes: Buffer): number {
    const digest = hash('sha256', bytes, 'binary')
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    if (this.#length + bytes.length > BLOCK_BYTES) this.flush()
    const place = { fragment: this.#stored.length, offset: this.#length, sizeBytes: bytes.length, digest }
    bytes.copy(this.#buffer, this.#length)
    this.#length += bytes.length
    const number = this.#tails.push(place) - 1
    this.#known.set(digest, number)
    return number
  }

  /** Hands over the last, partly filled fragment. */
  flush(): void {
    if (this.#length === 0) return
    const buffer = this.#buffer
    const place = { start: 0, storedSize: 0 }
    this.#stored.push(place)
    this.#queue.add(
      buffer.subarray(0, this.#length),
      (position, storedSize) => {
        place.start = position
        place.storedSize = storedSize
      },
      () => this.#buffers.give(buffer),
    )
    this.#buffer = this.#buffers.take()
    this.#length = 0
  }

  /** The files that have been added, by number. */
  get tails(): readonly (Tail & { readonly digest: string })[] {
    return this.#tails
  }

  /** Where the fragments are; complete when the queue is drained. */
  get fragments(): readonly StoredBlock[] {
    return this.#stored
  }
}
