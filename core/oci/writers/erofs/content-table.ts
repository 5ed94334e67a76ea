// Where each content of a segment is: the table that stands beside the segment's data. A content is cut into blocks;
// those that are not part of a hole stand in a row. A short rest after the last whole block, the tail, stands among other
// tails, because an image keeps it beside the inode; a long one is a block like the others, filled up with zeros.

import { OciError } from '../../errors.ts'
import { BLOCK_BYTES, blocksOf } from './format.ts'
import {
  CONTENT,
  CONTENT_BYTES,
  DIGEST_BYTES,
  ENTRY,
  EXTENT,
  HEADER,
  NO_TAIL_PAGE,
  TAIL_PAGE,
} from './table-records.ts'

const NO_EXTENTS: readonly Extent[] = []

/** A run of blocks of a file that is no hole. */
export interface Extent {
  /** Counted from the start of the file. */
  readonly fileBlock: number
  readonly blockCount: number
}

export interface StoredContent {
  readonly sizeBytes: number
  /** The block of the segment file that the first extent begins at; the others follow without gaps. */
  readonly firstBlock: number
  readonly extents: readonly Extent[]
  /** The bytes after the last whole block, where they stand apart, and where in the segment file that is. */
  readonly tailBytes: number
  readonly tailPosition: number
}

/** Reads a table that was written earlier. It comes from the disk: nothing that it says leads out of its segment. */
export class ContentTable {
  readonly #entryCount: number
  readonly #contentCount: number
  readonly #extentCount: number
  readonly #entries: Buffer
  readonly #contents: Buffer
  readonly #extents: Buffer
  readonly #tailPages: Buffer
  readonly #dataEnd: number

  /** `dataEnd` is where the segment's data ends. Throws `oci.corrupt-store` when the table is not what we write. */
  constructor(table: Buffer, dataEnd: number) {
    if (table.length < HEADER.sizeBytes) throw corruptTable('it is cut off')
    const { entryCount, contentCount, extentCount, tailPageCount } = HEADER.decode(table)
    const ends = [HEADER.sizeBytes]
    for (const bytes of [
      entryCount * ENTRY.sizeBytes,
      contentCount * CONTENT_BYTES,
      extentCount * EXTENT.sizeBytes,
      tailPageCount * TAIL_PAGE.sizeBytes,
    ])
      ends.push((ends.at(-1) ?? 0) + bytes)
    if (ends.at(-1) !== table.length) throw corruptTable('its length is not what its counts say')
    this.#entryCount = entryCount
    this.#contentCount = contentCount
    this.#extentCount = extentCount
    this.#entries = table.subarray(ends[0], ends[1])
    this.#contents = table.subarray(ends[1], ends[2])
    this.#extents = table.subarray(ends[2], ends[3])
    this.#tailPages = table.subarray(ends[3], ends[4])
    this.#dataEnd = dataEnd
  }

  /** The number of the content that an entry has, or undefined when the segment holds none for it. */
  contentOf(ordinal: number): number | undefined {
    let low = 0
    let high = this.#entryCount
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = ENTRY.decode(this.#entries, middle * ENTRY.sizeBytes)
      if (entry.ordinal === ordinal) return entry.content
      if (entry.ordinal < ordinal) low = middle + 1
      else high = middle
    }
    return undefined
  }

  /** How many contents the segment holds. */
  get contentCount(): number {
    return this.#contentCount
  }

  /** The same for equal contents: 32 bytes as a byte string. */
  digest(number: number): string {
    const start = this.#recordOf(number) + CONTENT.sizeBytes
    return this.#contents.toString('latin1', start, start + DIGEST_BYTES)
  }

  /** How large a content is, and how much of it stands apart as its tail. Throws `oci.corrupt-store`. */
  sizes(number: number): Pick<StoredContent, 'sizeBytes' | 'tailBytes'> {
    const { sizeBytes, tailPage } = CONTENT.decode(this.#contents, this.#recordOf(number))
    return { sizeBytes, tailBytes: tailPage === NO_TAIL_PAGE ? 0 : sizeBytes % BLOCK_BYTES }
  }

  /** What the segment holds as content `number`. Throws `oci.corrupt-store`. */
  content(number: number): StoredContent {
    const record = CONTENT.decode(this.#contents, this.#recordOf(number))
    const { firstBlock, firstExtent, extentCount, tailPage, tailOffset } = record
    const { sizeBytes, tailBytes } = this.sizes(number)
    const extents = this.#extentsOf(firstExtent, extentCount, blocksOf(sizeBytes - tailBytes))
    const storedBlocks = extents.reduce((sum, { blockCount }) => sum + blockCount, 0)
    if ((firstBlock + storedBlocks) * BLOCK_BYTES > this.#dataEnd)
      throw corruptTable(`content ${number} ends behind the data`)
    const tailPosition = tailBytes === 0 ? 0 : this.#tailPosition(tailPage, tailOffset)
    if (tailPosition + tailBytes > this.#dataEnd) throw corruptTable(`content ${number} ends behind the data`)
    return { sizeBytes, firstBlock, extents, tailBytes, tailPosition }
  }

  #recordOf(number: number): number {
    if (number >= this.#contentCount) throw corruptTable(`it has no content ${number}`)
    return number * CONTENT_BYTES
  }

  /** Extents are in order, apart, and within the file. */
  #extentsOf(first: number, count: number, fileBlocks: number): readonly Extent[] {
    if (count === 0) return NO_EXTENTS
    if (first + count > this.#extentCount) throw corruptTable(`it has no extent ${first + count - 1}`)
    const extents: Extent[] = []
    let end = 0
    for (let index = first; index < first + count; index++) {
      const extent = EXTENT.decode(this.#extents, index * EXTENT.sizeBytes)
      if (extent.fileBlock < end || extent.blockCount === 0)
        throw corruptTable(`extent ${index} is out of order`)
      end = extent.fileBlock + extent.blockCount
      extents.push(extent)
    }
    if (end > fileBlocks) throw corruptTable(`extent ${first + count - 1} ends behind its file`)
    return extents
  }

  #tailPosition(page: number, offset: number): number {
    const place = page * TAIL_PAGE.sizeBytes
    if (place >= this.#tailPages.length) throw corruptTable(`it has no page ${page} of tails`)
    return TAIL_PAGE.decode(this.#tailPages, place).block * BLOCK_BYTES + offset
  }
}

function corruptTable(reason: string): OciError {
  return new OciError('oci.corrupt-store', `Cannot read the table of a layer's segment: ${reason}`, {
    hint: 'Remove the image and fetch it again.',
  })
}
