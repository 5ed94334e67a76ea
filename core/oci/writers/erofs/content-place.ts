// How the blocks of a content lie in an image: all in a row with its holes filled in, or, where that saves much, in
// chunks of which those that are holes do not exist.

import type { StoredContent } from './content-table.ts'
import { BLOCK_BYTES, blocksOf, NO_BLOCK } from './format.ts'

/** Chunks have to save so much to be worth their table, and the runs of blocks that they cut. */
const WORTHWHILE_BYTES = 64 * 1024
const CHUNK_ENTRY_BYTES = 4
/** The largest chunk is 1 GiB: its size fits into 31 bits, as some readers want it. */
const LARGEST_CHUNK_LOG = 18

export interface ContentPlace {
  /** Blocks that it takes in the image. */
  readonly blockCount: number
  /** The bytes that stand beside the inode. */
  readonly inlineTailBytes: number
  /** How many times a block doubled is a chunk, and for each chunk where it begins in the content's blocks, or `NO_BLOCK`. */
  readonly chunks: { readonly log: number; readonly table: Uint32Array } | null
  /** The first of its blocks in the image; set when all sizes are known. */
  firstBlock: number
}

/** A piece of a content to be copied: from a byte of the segment to a byte of the content's blocks. */
export interface Piece {
  readonly from: number
  readonly to: number
  readonly sizeBytes: number
}

/** Decides how a content lies. With `isTailInline`, its tail stands beside the inode, if that is still possible. */
export function placeContent(stored: StoredContent, isTailInline: boolean): ContentPlace {
  const inlineTailBytes = isTailInline ? stored.tailBytes : 0
  const plain = {
    blockCount: blocksOf(stored.sizeBytes - inlineTailBytes),
    inlineTailBytes,
    chunks: null,
    firstBlock: NO_BLOCK,
  }
  const storedBlocks = stored.extents.reduce((sum, { blockCount }) => sum + blockCount, 0)
  if ((plain.blockCount - storedBlocks) * BLOCK_BYTES < WORTHWHILE_BYTES) return plain
  const best = bestChunkLog(stored)
  if (best.costBytes + WORTHWHILE_BYTES > plain.blockCount * BLOCK_BYTES) return plain
  return placeChunks(stored, best.log)
}

/** What has to be copied to fill the blocks of a content; the rest of them is zeros. */
export function* piecesOf(stored: StoredContent, place: ContentPlace): Generator<Piece, void, void> {
  let from = stored.firstBlock * BLOCK_BYTES
  for (const { fileBlock, blockCount } of stored.extents) {
    const sizeBytes = blockCount * BLOCK_BYTES
    yield { from, to: placeOf(place, fileBlock) * BLOCK_BYTES, sizeBytes }
    from += sizeBytes
  }
  if (stored.tailBytes === 0 || place.inlineTailBytes > 0) return
  const lastBlock = blocksOf(stored.sizeBytes) - 1
  yield {
    from: stored.tailPosition,
    to: placeOf(place, lastBlock) * BLOCK_BYTES,
    sizeBytes: stored.tailBytes,
  }
}

/** Where a block of the file is among the content's blocks. All chunks of an extent exist, and stand in a row. */
function placeOf({ chunks }: ContentPlace, fileBlock: number): number {
  if (chunks === null) return fileBlock
  const chunkBlocks = 2 ** chunks.log
  const chunk = Math.floor(fileBlock / chunkBlocks)
  return (chunks.table[chunk] ?? 0) + (fileBlock - chunk * chunkBlocks)
}

/** The chunk size with which blocks and table together are smallest; of equals, the largest. */
function bestChunkLog(stored: StoredContent): { readonly log: number; readonly costBytes: number } {
  let best = { log: 0, costBytes: Number.POSITIVE_INFINITY }
  for (let log = 0; log <= LARGEST_CHUNK_LOG; log++) {
    const blocks = countBlocks(stored, log)
    const costBytes = blocks * BLOCK_BYTES + chunkCount(stored, log) * CHUNK_ENTRY_BYTES
    if (costBytes <= best.costBytes) best = { log, costBytes }
  }
  return best
}

function countBlocks(stored: StoredContent, log: number): number {
  let chunks = 0
  let last = -1
  for (const [first, end] of usedChunks(stored, log)) {
    chunks += end - Math.max(first, last + 1)
    last = end - 1
  }
  return usedBlocks(stored, log, chunks, last)
}

function placeChunks(stored: StoredContent, log: number): ContentPlace {
  const table = new Uint32Array(chunkCount(stored, log)).fill(NO_BLOCK)
  let chunks = 0
  let last = -1
  for (const [first, end] of usedChunks(stored, log)) {
    for (let chunk = Math.max(first, last + 1); chunk < end; chunk++) table[chunk] = chunks++ * 2 ** log
    last = end - 1
  }
  const blockCount = usedBlocks(stored, log, chunks, last)
  return { blockCount, inlineTailBytes: 0, chunks: { log, table }, firstBlock: NO_BLOCK }
}

/** The last chunk of a file ends with the file. */
function usedBlocks(stored: StoredContent, log: number, chunks: number, lastChunk: number): number {
  const chunkBlocks = 2 ** log
  const beyond = Math.max(0, (lastChunk + 1) * chunkBlocks - blocksOf(stored.sizeBytes))
  return chunks * chunkBlocks - beyond
}

/** Which chunks the extents and the tail lie in, as ranges in order; neighbours may share one. */
function* usedChunks(stored: StoredContent, log: number): Generator<readonly [number, number], void, void> {
  const chunkBlocks = 2 ** log
  for (const { fileBlock, blockCount } of stored.extents)
    yield [Math.floor(fileBlock / chunkBlocks), Math.ceil((fileBlock + blockCount) / chunkBlocks)]
  const lastChunk = chunkCount(stored, log) - 1
  if (stored.tailBytes > 0) yield [lastChunk, lastChunk + 1]
}

function chunkCount(stored: StoredContent, log: number): number {
  return Math.ceil(blocksOf(stored.sizeBytes) / 2 ** log)
}
