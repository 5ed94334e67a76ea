// Takes in the contents of a layer: whole blocks go into the segment as they come, long runs of zeros become holes, the
// short ends of files are collected apart, and a content that is there already is taken back.

import { createHash, type Hash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import { SEGMENT_DATA_OFFSET, type SegmentWriter } from '../image-format.ts'
import type { Extent } from './content-table.ts'
import { ContentTableBuilder } from './content-table-builder.ts'
import { alignUp, BLOCK_BYTES } from './format.ts'
import { SegmentOutput } from './segment-output.ts'
import { NO_TAIL_PAGE } from './table-records.ts'

/** Shorter runs of zeros are stored: a hole must be worth its place in the tables, and keep the tables small. */
const HOLE_BLOCKS = 16
/**
 * Longer ends of files fill a block of their own. Short ones save most of one by standing beside the inode; long ones
 * would save little and thin out the inodes, so that whoever lists directories reads much more.
 */
const TAIL_BYTES_LIMIT = 2048
/** How many bytes of tails stand together. */
const TAIL_PAGE_BYTES = 256 * 1024
const ZEROS = Buffer.alloc(HOLE_BLOCKS * BLOCK_BYTES)

/** The file that is being taken in. */
interface OpenContent {
  readonly ordinal: number
  readonly sizeBytes: number
  /** Where its blocks begin in the segment file. */
  readonly start: number
  readonly hash: Hash
  readonly extents: { fileBlock: number; blockCount: number }[]
  /** Whole blocks so far; the last `zeroBlocks` of them are zeros that are not stored yet. */
  blocks: number
  zeroBlocks: number
  /** Bytes behind the last whole block, in `#partial`. */
  partialBytes: number
}

export class ErofsSegmentWriter implements SegmentWriter {
  readonly #file: FileHandle
  readonly #output: SegmentOutput
  readonly #table = new ContentTableBuilder()
  readonly #known = new Map<string, number>()
  readonly #partial = Buffer.alloc(BLOCK_BYTES)
  #tails = Buffer.allocUnsafe(TAIL_PAGE_BYTES)
  #tailsBytes = 0
  /** The blocks of the segment file at which the finished pages of tails begin. */
  readonly #tailPages: number[] = []
  #open: OpenContent | undefined

  /** Writes to an empty file that is open for reading and writing. */
  constructor(file: FileHandle) {
    this.#file = file
    this.#output = new SegmentOutput(file, SEGMENT_DATA_OFFSET)
  }

  beginFile(ordinal: number, sizeBytes: number): void {
    if (this.#open !== undefined) throw new Error(`entry ${this.#open.ordinal} has no end`)
    const start = this.#output.position
    const hash = createHash('sha256')
    this.#open = { ordinal, sizeBytes, start, hash, extents: [], blocks: 0, zeroBlocks: 0, partialBytes: 0 }
  }

  write(chunk: Buffer): void {
    const content = this.#current(chunk.length)
    let offset = 0
    while (offset < chunk.length) {
      if (content.partialBytes === 0 && chunk.length - offset >= BLOCK_BYTES) {
        offset = this.#takeBlocks(content, chunk, offset)
        continue
      }
      const length = Math.min(BLOCK_BYTES - content.partialBytes, chunk.length - offset)
      chunk.copy(this.#partial, content.partialBytes, offset, offset + length)
      offset += length
      this.#addPartial(content, length)
    }
  }

  writeHole(sizeBytes: number): void {
    const content = this.#current(sizeBytes)
    const inPartial = content.partialBytes === 0 ? 0 : Math.min(sizeBytes, BLOCK_BYTES - content.partialBytes)
    this.#addZeros(content, inPartial)
    const blocks = Math.floor((sizeBytes - inPartial) / BLOCK_BYTES)
    content.blocks += blocks
    content.zeroBlocks += blocks
    this.#addZeros(content, sizeBytes - inPartial - blocks * BLOCK_BYTES)
  }

  endFile(): void {
    const content = this.#current(0)
    if (content.blocks * BLOCK_BYTES + content.partialBytes !== content.sizeBytes)
      throw new Error(`entry ${content.ordinal} ends before its ${content.sizeBytes} bytes`)
    this.#open = undefined
    if (content.zeroBlocks < HOLE_BLOCKS) this.#storeZeros(content)
    content.zeroBlocks = 0
    this.#table.addEntry(content.ordinal, this.#store(content))
  }

  ready(): Promise<void> {
    return this.#output.ready()
  }

  async finish(): Promise<{ readonly dataEnd: number; readonly table: Buffer }> {
    if (this.#open !== undefined) throw new Error(`entry ${this.#open.ordinal} has no end`)
    this.#flushTails()
    const dataEnd = this.#output.position
    await this.#output.flush()
    // What was taken back may lie behind the end.
    await this.#file.truncate(dataEnd)
    return { dataEnd, table: this.#table.finish(this.#tailPages) }
  }

  async close(): Promise<void> {
    await this.#output.settle()
  }

  #current(moreBytes: number): OpenContent {
    const content = this.#open
    if (content === undefined) throw new Error('there is no entry to write to')
    if (content.blocks * BLOCK_BYTES + content.partialBytes + moreBytes > content.sizeBytes)
      throw new Error(`entry ${content.ordinal} has more than its ${content.sizeBytes} bytes`)
    return content
  }

  /** Takes whole blocks from `offset` on, as many as are alike (zeros or not); returns where they end. */
  #takeBlocks(content: OpenContent, chunk: Buffer, offset: number): number {
    const limit = chunk.length - BLOCK_BYTES
    const isZero = isZeroBlock(chunk, offset)
    let end = offset + BLOCK_BYTES
    while (end <= limit && isZeroBlock(chunk, end) === isZero) end += BLOCK_BYTES
    const blocks = (end - offset) / BLOCK_BYTES
    if (isZero) {
      content.blocks += blocks
      content.zeroBlocks += blocks
    } else {
      this.#storeBlocks(content, chunk.subarray(offset, end))
    }
    return end
  }

  #addPartial(content: OpenContent, bytes: number): void {
    content.partialBytes += bytes
    if (content.partialBytes < BLOCK_BYTES) return
    content.partialBytes = 0
    this.#takeBlocks(content, Buffer.from(this.#partial), 0)
  }

  #addZeros(content: OpenContent, bytes: number): void {
    this.#partial.fill(0, content.partialBytes, content.partialBytes + bytes)
    this.#addPartial(content, bytes)
  }

  #storeBlocks(content: OpenContent, bytes: Buffer): void {
    if (content.zeroBlocks < HOLE_BLOCKS) this.#storeZeros(content)
    content.zeroBlocks = 0
    this.#append(content, content.blocks, bytes)
    content.blocks += bytes.length / BLOCK_BYTES
  }

  /** Stores the zeros at the end of the content after all. */
  #storeZeros(content: OpenContent): void {
    const blocks = content.zeroBlocks
    content.zeroBlocks = 0
    if (blocks > 0) this.#append(content, content.blocks - blocks, ZEROS.subarray(0, blocks * BLOCK_BYTES))
  }

  #append({ hash, extents }: OpenContent, fileBlock: number, bytes: Buffer): void {
    const blockCount = bytes.length / BLOCK_BYTES
    const last = extents.at(-1)
    if (last !== undefined && last.fileBlock + last.blockCount === fileBlock) last.blockCount += blockCount
    else extents.push({ fileBlock, blockCount })
    hash.update(bytes)
    this.#output.append(bytes)
  }

  /** The number of the content: a new one, or that of the same content earlier in the layer. */
  #store(content: OpenContent): number {
    const { sizeBytes, start, hash, extents } = content
    const tail = this.#partial.subarray(0, content.partialBytes)
    if (tail.length > TAIL_BYTES_LIMIT) this.#storeBlocks(content, paddedBlock(tail))
    else hash.update(tail)
    const digest = hash.update(describeShape(sizeBytes, extents)).digest()
    const key = digest.toString('latin1')
    const known = this.#known.get(key)
    if (known !== undefined) {
      this.#output.rewind(start)
      return known
    }
    const tailPlace =
      tail.length > 0 && tail.length <= TAIL_BYTES_LIMIT
        ? this.#storeTail(tail)
        : { tailPage: NO_TAIL_PAGE, tailOffset: 0 }
    const stored = { digest, sizeBytes, firstBlock: start / BLOCK_BYTES, extents, ...tailPlace }
    const number = this.#table.addContent(stored)
    this.#known.set(key, number)
    return number
  }

  #storeTail(tail: Buffer): { readonly tailPage: number; readonly tailOffset: number } {
    if (this.#tailsBytes + tail.length > TAIL_PAGE_BYTES) this.#flushTails()
    const place = { tailPage: this.#tailPages.length, tailOffset: this.#tailsBytes }
    tail.copy(this.#tails, place.tailOffset)
    this.#tailsBytes += tail.length
    return place
  }

  #flushTails(): void {
    if (this.#tailsBytes === 0) return
    const pageBytes = alignUp(this.#tailsBytes, BLOCK_BYTES)
    this.#tails.fill(0, this.#tailsBytes, pageBytes)
    this.#tailPages.push(this.#output.position / BLOCK_BYTES)
    this.#output.append(this.#tails.subarray(0, pageBytes))
    this.#tails = Buffer.allocUnsafe(TAIL_PAGE_BYTES)
    this.#tailsBytes = 0
  }
}

function paddedBlock(bytes: Buffer): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  bytes.copy(block)
  return block
}

function isZeroBlock(bytes: Buffer, offset: number): boolean {
  return bytes[offset] === 0 && bytes.compare(ZEROS, 0, BLOCK_BYTES, offset, offset + BLOCK_BYTES) === 0
}

/** Tells contents apart whose stored bytes are the same and whose holes are not. */
function describeShape(sizeBytes: number, extents: readonly Extent[]): Buffer {
  const shape = new Float64Array([
    sizeBytes,
    ...extents.flatMap(({ fileBlock, blockCount }) => [fileBlock, blockCount]),
  ])
  return Buffer.from(shape.buffer)
}
