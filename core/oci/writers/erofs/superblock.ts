// The superblock, which fills the first block of an image together with room for what machines boot from.

import { crc32c } from './crc32c.ts'
import {
  BLOCK_BYTES,
  BLOCK_LOG,
  EROFS_MAGIC,
  FEATURE_CHECKSUM,
  FEATURE_CHUNKED_FILE,
  FEATURE_MTIME,
  SUPERBLOCK,
  SUPERBLOCK_OFFSET,
} from './format.ts'

/** Where the checksum stands in the superblock. */
const CHECKSUM_OFFSET = 4

export interface SuperblockFields {
  readonly rootNid: number
  readonly inodeCount: number
  /** Seconds since 1970 of all compact inodes. */
  readonly epoch: number
  readonly blockCount: number
  readonly metadataBlock: number
  readonly sharedXattrBlock: number
  readonly hasChunkedFiles: boolean
}

/** The first block of an image. */
export function encodeSuperblock({ hasChunkedFiles, ...fields }: SuperblockFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  SUPERBLOCK.encodeInto(block, SUPERBLOCK_OFFSET, {
    ...fields,
    magic: EROFS_MAGIC,
    checksum: 0,
    compatibleFeatures: FEATURE_CHECKSUM | FEATURE_MTIME,
    blockLog: BLOCK_LOG,
    extensionSlots: 0,
    epochNanoseconds: 0,
    // Nothing random, and no name: the same layers make the same image.
    uuidLow: 0,
    uuidHigh: 0,
    volumeNameLow: 0,
    volumeNameHigh: 0,
    incompatibleFeatures: hasChunkedFiles ? FEATURE_CHUNKED_FILE : 0,
    compression: 0,
    deviceCount: 0,
    deviceTableSlot: 0,
    directoryBlockLog: 0,
    xattrPrefixCount: 0,
    xattrPrefixStart: 0,
    packedNid: 0,
    xattrFilter: 0,
    reserved0: 0,
    reserved1: 0,
    reserved2: 0,
    reserved3: 0,
    reserved4: 0,
  })
  block.writeUInt32LE(superblockChecksum(block), SUPERBLOCK_OFFSET + CHECKSUM_OFFSET)
  return block
}

/** Over the rest of the block from the superblock on, with zeros in the place of the checksum (fs/erofs/super.c). */
export function superblockChecksum(block: Buffer): number {
  const checked = Buffer.from(block.subarray(SUPERBLOCK_OFFSET, BLOCK_BYTES))
  checked.fill(0, CHECKSUM_OFFSET, CHECKSUM_OFFSET + 4)
  return crc32c(checked)
}
