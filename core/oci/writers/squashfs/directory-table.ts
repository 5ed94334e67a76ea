// The listings of directories. Entries are sorted by the bytes of their names and stand behind headers that name the
// metadata block of their inodes; large listings get an index by which the kernel finds its way (fs/squashfs/namei.c).

import { type ByteString, bytesOf } from '../../layer/byte-string.ts'
import { NAME_BYTES_LIMIT } from '../../merge/entry-path.ts'
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

/** The longest run: a header and as many entries as it can have, each with the longest name. */
const RUN_BYTES =
  DIRECTORY_HEADER.sizeBytes + DIRECTORY_HEADER_ENTRIES * (DIRECTORY_ENTRY.sizeBytes + NAME_BYTES_LIMIT)

export class DirectoryTable {
  readonly #table: MetadataTable
  /** Memory for one run, used again for the next. */
  readonly #run = Buffer.allocUnsafe(RUN_BYTES)

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
      const runBytes = encodeRun(this.#run, entries, first, last)
      this.#table.append(this.#run.subarray(0, runBytes))
      sizeBytes += runBytes
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

/** Encodes a header and its entries into `target`; returns how many bytes they take. */
function encodeRun(target: Buffer, entries: readonly ListingEntry[], first: number, last: number): number {
  const head = entries[first] as ListingEntry
  let end = DIRECTORY_HEADER.encodeInto(target, 0, {
    countMinusOne: last - first - 1,
    inodeBlock: head.inode.block,
    inodeNumber: head.inodeNumber,
  })
  for (let index = first; index < last; index++) {
    const { name, type, inodeNumber, inode } = entries[index] as ListingEntry
    end = DIRECTORY_ENTRY.encodeInto(target, end, {
      inodeOffset: inode.offset,
      inodeNumberDelta: inodeNumber - head.inodeNumber,
      type,
      nameBytesMinusOne: name.length - 1,
    })
    end += target.write(name, end, 'latin1')
  }
  return end
}

function indexRecord(name: ByteString, listingOffset: number, listingBlock: number): Buffer {
  const layout = DIRECTORY_INDEX.encode({ listingOffset, listingBlock, nameBytesMinusOne: name.length - 1 })
  return Buffer.concat([layout, bytesOf(name)])
}
