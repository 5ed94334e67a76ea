// Packs the ends of files (and whole small files) together into fragments of one block each. Equal ends are stored once:
// they are known by their SHA-256, which costs less than compressing them again.

import { hash } from 'node:crypto'
import type { BlockBuffers } from './block-buffers.ts'
import type { BlockQueue } from './block-queue.ts'
import { BLOCK_BYTES, FRAGMENT_ENTRY } from './format.ts'
import type { StoredContent } from './stored-content.ts'

interface FragmentPlace {
  readonly fragment: number
  readonly offset: number
}

export class FragmentPacker {
  readonly #queue: BlockQueue
  readonly #buffers: BlockBuffers
  readonly #places = new Map<string, FragmentPlace>()
  readonly #stored: { start: number; storedSize: number }[] = []
  #buffer: Buffer
  #length = 0

  constructor(queue: BlockQueue, buffers: BlockBuffers) {
    this.#queue = queue
    this.#buffers = buffers
    this.#buffer = buffers.take()
  }

  /** Puts the end of a file, less than one block, into a fragment. The bytes are copied. */
  add(tail: Buffer, content: StoredContent): void {
    const digest = hash('sha256', tail, 'binary')
    const known = this.#places.get(digest)
    const place = known ?? this.#store(tail)
    if (known === undefined) this.#places.set(digest, place)
    content.fragment = place.fragment
    content.fragmentOffset = place.offset
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

  get count(): number {
    return this.#stored.length
  }

  /** The entries of the fragment table; complete when the queue is drained. */
  table(): Buffer {
    return Buffer.concat(this.#stored.map((place) => FRAGMENT_ENTRY.encode({ ...place, unused: 0 })))
  }

  #store(tail: Buffer): FragmentPlace {
    if (this.#length + tail.length > BLOCK_BYTES) this.flush()
    const place = { fragment: this.#stored.length, offset: this.#length }
    tail.copy(this.#buffer, this.#length)
    this.#length += tail.length
    return place
  }
}
