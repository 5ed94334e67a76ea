// Where each content of a segment is: the table behind a segment's index, as bytes. Parts of fixed size are read where
// they stand, so that the table of a million files takes no more memory than its bytes.
//
// Head, fragments, tails, contents by ordinal, runs of blocks. A content is a run of blocks, or for a small file a tail: a
// place in a fragment.

import { binaryLayout } from '../binary-layout.ts'
import { VarintReader, VarintWriter } from '../varint.ts'
import { BLOCK_BYTES, BLOCK_UNCOMPRESSED, FRAGMENT_ENTRY, NONE_32 } from './format.ts'

const HEAD = binaryLayout({ fragmentCount: 'u32', tailCount: 'u32', contentCount: 'u32', runsBytes: 'u32' })
/** The SHA-256 of its bytes follows. */
const TAIL = binaryLayout({ fragment: 'u32', offset: 'u32', sizeBytes: 'u32' })
/** `tail` is a number of a tail, `run` a place among the runs; `NONE_32` where there is none. */
const CONTENT = binaryLayout({ ordinal: 'u32', tail: 'u32', run: 'u32' })
const DIGEST_BYTES = 32
const TAIL_BYTES = TAIL.sizeBytes + DIGEST_BYTES

/** A block of data as it is stored: a run's, or a fragment. */
export interface StoredBlock {
  readonly start: number
  /** Size as stored, with the flag for "not compressed". */
  readonly storedSize: number
}

/** The blocks of a file, one after the other; the last may be a short one. */
export interface BlockRun {
  readonly start: number
  /** Size of each block as stored, with the flag for "not compressed"; 0 is a block of zeros that is not stored. */
  readonly blockSizes: readonly number[]
}

/** A small file. */
export interface Tail {
  readonly fragment: number
  readonly offset: number
  readonly sizeBytes: number
}

export interface SegmentContent {
  readonly run: BlockRun | null
  /** Number of its tail, or `NONE_32`. */
  readonly tail: number
}

/** Bytes that a block takes in the file. */
export function storedBytes(storedSize: number): number {
  return storedSize & ~BLOCK_UNCOMPRESSED
}

/** Bytes that a run takes in the file. */
export function runBytes({ blockSizes }: Pick<BlockRun, 'blockSizes'>): number {
  return blockSizes.reduce((sum, size) => sum + storedBytes(size), 0)
}

export class SegmentTableBuilder {
  readonly #ordinals: number[] = []
  readonly #tails: number[] = []
  readonly #runs = new Map<number, BlockRun>()

  /** Adds a content, in the order of ordinals; the numbers in the run may still change until `finish`. */
  add(ordinal: number, { run, tail }: SegmentContent): void {
    if (run !== null) this.#runs.set(this.#ordinals.length, run)
    this.#ordinals.push(ordinal)
    this.#tails.push(tail)
  }

  /** `tails` with the digest of each, as a byte string. */
  finish(fragments: readonly StoredBlock[], tails: readonly (Tail & { readonly digest: string })[]): Buffer {
    const contentCount = this.#ordinals.length
    const runs = new VarintWriter()
    const fixed = Buffer.alloc(
      HEAD.sizeBytes +
        fragments.length * FRAGMENT_ENTRY.sizeBytes +
        tails.length * TAIL_BYTES +
        contentCount * CONTENT.sizeBytes,
    )
    let offset = HEAD.sizeBytes
    for (const place of fragments) offset = FRAGMENT_ENTRY.encodeInto(fixed, offset, { ...place, unused: 0 })
    for (const { digest, ...place } of tails) {
      offset = TAIL.encodeInto(fixed, offset, place)
      offset += fixed.write(digest, offset, 'latin1')
    }
    for (const [number, ordinal] of this.#ordinals.entries()) {
      const run = this.#runs.get(number)
      const place = run === undefined ? NONE_32 : runs.length
      if (run !== undefined) writeRun(runs, run)
      offset = CONTENT.encodeInto(fixed, offset, {
        ordinal,
        tail: this.#tails[number] ?? NONE_32,
        run: place,
      })
    }
    HEAD.encodeInto(fixed, 0, {
      fragmentCount: fragments.length,
      tailCount: tails.length,
      contentCount,
      runsBytes: runs.length,
    })
    return Buffer.concat([fixed, runs.finish()])
  }
}

/** A table to be read. */
export class SegmentTable {
  readonly fragmentCount: number
  readonly tailCount: number
  readonly contentCount: number
  readonly #bytes: Buffer
  readonly #tailsStart: number
  readonly #contentsStart: number
  readonly #runsStart: number
  /** For each ordinal the number of its content and 1; 0 where there is none. */
  readonly #byOrdinal: Uint32Array

  constructor(bytes: Buffer) {
    const { fragmentCount, tailCount, contentCount } = HEAD.decode(bytes)
    this.fragmentCount = fragmentCount
    this.tailCount = tailCount
    this.contentCount = contentCount
    this.#bytes = bytes
    this.#tailsStart = HEAD.sizeBytes + fragmentCount * FRAGMENT_ENTRY.sizeBytes
    this.#contentsStart = this.#tailsStart + tailCount * TAIL_BYTES
    this.#runsStart = this.#contentsStart + contentCount * CONTENT.sizeBytes
    const last = contentCount === 0 ? -1 : this.#contentAt(contentCount - 1).ordinal
    this.#byOrdinal = new Uint32Array(last + 1)
    for (let number = 0; number < contentCount; number++)
      this.#byOrdinal[this.#contentAt(number).ordinal] = number + 1
  }

  /** The number of an entry's content, from 0; undefined when the layer's entry has none. */
  numberOf(ordinal: number): number | undefined {
    const number = this.#byOrdinal[ordinal]
    return number === undefined || number === 0 ? undefined : number - 1
  }

  content(number: number): SegmentContent {
    const { tail, run } = this.#contentAt(number)
    return { tail, run: run === NONE_32 ? null : readRun(this.#bytes, this.#runsStart + run) }
  }

  fragment(index: number): StoredBlock {
    return FRAGMENT_ENTRY.decode(this.#bytes, HEAD.sizeBytes + index * FRAGMENT_ENTRY.sizeBytes)
  }

  tail(number: number): Tail {
    return TAIL.decode(this.#bytes, this.#tailsStart + number * TAIL_BYTES)
  }

  /** The SHA-256 of a tail. */
  tailDigest(number: number): Buffer {
    const end = this.#tailsStart + (number + 1) * TAIL_BYTES
    return this.#bytes.subarray(end - DIGEST_BYTES, end)
  }

  #contentAt(number: number) {
    return CONTENT.decode(this.#bytes, this.#contentsStart + number * CONTENT.sizeBytes)
  }
}

/** Zeros come in great numbers: a 0 is followed by how many there are. The flag becomes the lowest bit. */
function writeRun(writer: VarintWriter, { start, blockSizes }: BlockRun): void {
  writer.unsigned(start)
  writer.unsigned(blockSizes.length)
  for (let index = 0; index < blockSizes.length; ) {
    const size = blockSizes[index] ?? 0
    writer.unsigned(2 * storedBytes(size) + ((size & BLOCK_UNCOMPRESSED) === 0 ? 0 : 1))
    const first = index
    do index++
    while (size === 0 && blockSizes[index] === 0)
    if (size === 0) writer.unsigned(index - first)
  }
}

function readRun(bytes: Buffer, offset: number): BlockRun {
  const reader = new VarintReader(bytes, offset)
  const start = reader.unsigned()
  const blockSizes = new Array<number>(reader.unsigned())
  for (let index = 0; index < blockSizes.length; ) {
    const coded = reader.unsigned()
    const end = index + (coded === 0 ? reader.unsigned() : 1)
    const size = Math.floor(coded / 2) | (coded % 2 === 0 ? 0 : BLOCK_UNCOMPRESSED)
    blockSizes.fill(size, index, end)
    index = end
  }
  return { start, blockSizes }
}

/** Bytes of a file that are not stored because its blocks hold only zeros; the last block may be a short one. */
export function sparseBytes({ blockSizes }: BlockRun, fileBytes: number): number {
  return blockSizes.reduce(
    (sum, size, index) => sum + (size === 0 ? Math.min(BLOCK_BYTES, fileBytes - index * BLOCK_BYTES) : 0),
    0,
  )
}
