// The listings of directories. Entries are sorted by the bytes of their names and stand behind headers that name the
// metadata block of their inodes; large listings get an index by which the kernel finds its way (fs/squashfs/namei.c).

import { type ByteString, bytesOf } from '../../layer/byte-string.ts'
import type { BlockCompressor } from './block-compressor.ts'
import {
  DIRECTORY_ENTRY,
  DIRECTORY_HEADER,
  DIRECTORY_HEADER_ENTRIES,
  DIRECTORY_INDEX,
  METADATA_BYTES,
  type MetadataReference,
} from './format.ts'
import { MetadataTable } from './metadata-table.ts'

/** An entry's inode number is stored as the signed 16-bit difference from its header's. */
const NUMBER_DELTA_LIMIT = 0x7fff

export interface ListingEntry {
  readonly name: ByteString
  /** The basic inode type, whatever form the inode has. */
  readonly type: number
  readonly inodeNumber: number
  readonly inode: MetadataReference
}

export interface Listing {
  readonly place: MetadataReference
  readonly sizeBytes: number
  /** Index records to be put behind an extended directory inode; empty for small listings. */
  readonly index: readonly Buffer[]
}

export class DirectoryTable {
  readonly #table: MetadataTable

  constructor(compressor: BlockCompressor) {
    this.#table = new MetadataTable(compressor)
  }

  /** Adds a listing; the entries must be sorted. */
  add(entries: readonly ListingEntry[]): Listing {
    const place = this.#table.next
    const index: Buffer[] = []
    let indexedBlock = place.block
    let sizeBytes = 0
    for (let first = 0; first < entries.length; ) {
      const last = endOfRun(entries, first)
      const head = entries[first] as ListingEntry
      const { block } = this.#table.next
      if (block !== indexedBlock) {
        index.push(indexRecord(head.name, sizeBytes, block))
        indexedBlock = block
      }
      for (const record of runRecords(entries, first, last)) {
        this.#table.append(record)
        sizeBytes += record.length
      }
      first = last
    }
    return { place, sizeBytes, index: sizeBytes > METADATA_BYTES ? index : [] }
  }

  /** The table as it goes onto the disk. */
  finish(): Buffer {
    return this.#table.finish()
  }
}

/** Where the run of entries that can share a header with `entries[first]` ends. */
function endOfRun(entries: readonly ListingEntry[], first: number): number {
  const head = entries[first] as ListingEntry
  const limit = Math.min(entries.length, first + DIRECTORY_HEADER_ENTRIES)
  let last = first + 1
  for (; last < limit; last++) {
    const entry = entries[last] as ListingEntry
    if (entry.inode.block !== head.inode.block) break
    if (Math.abs(entry.inodeNumber - head.inodeNumber) > NUMBER_DELTA_LIMIT) break
  }
  return last
}

function runRecords(entries: readonly ListingEntry[], first: number, last: number): Buffer[] {
  const head = entries[first] as ListingEntry
  const header = DIRECTORY_HEADER.encode({
    countMinusOne: last - first - 1,
    inodeBlock: head.inode.block,
    inodeNumber: head.inodeNumber,
  })
  const records = [header]
  for (const { name, type, inodeNumber, inode } of entries.slice(first, last)) {
    const record = DIRECTORY_ENTRY.encode(
      {
        inodeOffset: inode.offset,
        inodeNumberDelta: inodeNumber - head.inodeNumber,
        type,
        nameBytesMinusOne: name.length - 1,
      },
      name.length,
    )
    record.write(name, DIRECTORY_ENTRY.sizeBytes, 'latin1')
    records.push(record)
  }
  return records
}

function indexRecord(name: ByteString, listingOffset: number, listingBlock: number): Buffer {
  const layout = DIRECTORY_INDEX.encode({ listingOffset, listingBlock, nameBytesMinusOne: name.length - 1 })
  return Buffer.concat([layout, bytesOf(name)])
}
