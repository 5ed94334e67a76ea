// A table of metadata: records one after the other, cut into blocks of 8 KiB that are compressed on their own, each behind
// a 16-bit header with its size. Records may cross from one block into the next.

import type { BlockCompressor } from './block-compressor.ts'
import { METADATA_BYTES, METADATA_UNCOMPRESSED, type MetadataReference } from './format.ts'

const HEADER_BYTES = 2

export class MetadataTable {
  readonly #compressor: BlockCompressor
  readonly #buffer = Buffer.alloc(METADATA_BYTES)
  readonly #parts: Buffer[] = []
  readonly #blockStarts: number[] = []
  #length = 0
  #storedBytes = 0

  constructor(compressor: BlockCompressor) {
    this.#compressor = compressor
  }

  /** Where the next record will stand. */
  get next(): MetadataReference {
    return { block: this.#storedBytes, offset: this.#length }
  }

  /** Adds a record; returns where it stands. */
  append(record: Buffer): MetadataReference {
    const reference = this.next
    for (let offset = 0; offset < record.length; ) {
      const taken = Math.min(METADATA_BYTES - this.#length, record.length - offset)
      record.copy(this.#buffer, this.#length, offset, offset + taken)
      this.#length += taken
      offset += taken
      if (this.#length === METADATA_BYTES) this.#closeBlock()
    }
    return reference
  }

  /** The table as it goes onto the disk. Nothing can be added afterwards. */
  finish(): Buffer {
    if (this.#length > 0) this.#closeBlock()
    return Buffer.concat(this.#parts)
  }

  /** Where each block begins, counted from the start of the table. */
  get blockStarts(): readonly number[] {
    return this.#blockStarts
  }

  #closeBlock(): void {
    const raw = this.#buffer.subarray(0, this.#length)
    const frame = this.#compressor.compressNow(raw)
    const isSmaller = frame.length < raw.length
    // A copy: the frame keeps a buffer of 16 KiB alive, and the block is used again.
    const stored = isSmaller ? frame : raw
    const block = Buffer.allocUnsafeSlow(HEADER_BYTES + stored.length)
    block.writeUInt16LE(stored.length | (isSmaller ? 0 : METADATA_UNCOMPRESSED))
    stored.copy(block, HEADER_BYTES)
    this.#blockStarts.push(this.#storedBytes)
    this.#parts.push(block)
    this.#storedBytes += block.length
    this.#length = 0
  }
}
