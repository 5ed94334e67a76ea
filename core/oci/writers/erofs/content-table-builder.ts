// Collects the table of a segment while its contents come.

import type { StoredContent } from './content-table.ts'
import { CONTENT, CONTENT_BYTES, DIGEST_BYTES, ENTRY, EXTENT, HEADER, TAIL_PAGE } from './table-records.ts'

/** A content as it is added: the place of its tail becomes known later. */
export interface AddedContent extends Omit<StoredContent, 'tailPosition' | 'tailBytes'> {
  readonly digest: Buffer
  readonly tailPage: number
  readonly tailOffset: number
}

export class ContentTableBuilder {
  readonly #entries = new Records(ENTRY.sizeBytes)
  readonly #contents = new Records(CONTENT_BYTES)
  readonly #extents = new Records(EXTENT.sizeBytes)
  #lastOrdinal = -1

  /** The entry has this content. Entries come in the order of their ordinals. */
  addEntry(ordinal: number, content: number): void {
    if (ordinal <= this.#lastOrdinal) throw new Error(`entry ${ordinal} comes after ${this.#lastOrdinal}`)
    this.#lastOrdinal = ordinal
    this.#entries.add(ENTRY.encode({ ordinal, content }))
  }

  /** Returns the number of the new content. */
  addContent({ digest, extents, ...content }: AddedContent): number {
    const place = { firstExtent: this.#extents.count, extentCount: extents.length, reserved: 0 }
    for (const extent of extents) this.#extents.add(EXTENT.encode({ ...extent }))
    const record = CONTENT.encode({ ...content, ...place }, DIGEST_BYTES)
    digest.copy(record, CONTENT.sizeBytes)
    return this.#contents.add(record)
  }

  /** The table. `tailPages` are the blocks of the segment file at which each page of tails begins. */
  finish(tailPages: readonly number[]): Buffer {
    const header = HEADER.encode({
      entryCount: this.#entries.count,
      contentCount: this.#contents.count,
      extentCount: this.#extents.count,
      tailPageCount: tailPages.length,
    })
    const pages = tailPages.map((block) => TAIL_PAGE.encode({ block }))
    return Buffer.concat([header, this.#entries.bytes, this.#contents.bytes, this.#extents.bytes, ...pages])
  }
}

/** Records of one size, one behind the other. */
class Records {
  readonly #recordBytes: number
  #room: Buffer
  count = 0

  constructor(recordBytes: number) {
    this.#recordBytes = recordBytes
    this.#room = Buffer.alloc(256 * recordBytes)
  }

  /** Returns the number of the record. */
  add(record: Buffer): number {
    const end = (this.count + 1) * this.#recordBytes
    if (end > this.#room.length) this.#room = Buffer.concat([this.#room, Buffer.alloc(this.#room.length)])
    record.copy(this.#room, end - this.#recordBytes)
    return this.count++
  }

  get bytes(): Buffer {
    return this.#room.subarray(0, this.count * this.#recordBytes)
  }
}
