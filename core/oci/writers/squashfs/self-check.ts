// Looks at a finished image as the kernel will: superblock, tables in order, the root inode, and a sample of fragments
// decompressed. Cheap, and enough to keep a broken image from ever being mounted by a guest.

import type { FileHandle } from 'node:fs/promises'
import { zstdDecompressSync } from 'node:zlib'
import { OciError } from '../../errors.ts'
import { NONE_64 } from '../binary-layout.ts'
import {
  BASE_INODE_LAYOUT,
  BLOCK_BYTES,
  BLOCK_UNCOMPRESSED,
  EXTENDED_INODE_OFFSET,
  FRAGMENT_ENTRY,
  INODE_TYPES,
  METADATA_BYTES,
  METADATA_UNCOMPRESSED,
  SQUASHFS_MAGIC,
  SUPERBLOCK,
} from './format.ts'

const SAMPLED_FRAGMENTS = 16

/** Throws `oci.internal` unless the file is an image of `sizeBytes` that can be read. */
export async function checkSquashfs(file: FileHandle, sizeBytes: number): Promise<void> {
  const superblock = SUPERBLOCK.decode(await readAt(file, 0, SUPERBLOCK.sizeBytes))
  demand(superblock.magic === SQUASHFS_MAGIC, 'it has no superblock')
  demand((await file.stat()).size === sizeBytes, 'its size is not what was written')
  const { inodeTable, directoryTable, fragmentTable, exportTable, idTable, xattrTable, bytesUsed } =
    superblock
  const places = [inodeTable, directoryTable, fragmentTable, exportTable, idTable, xattrTable]
  const ascending = places.filter((place) => place !== NONE_64).concat(bytesUsed, sizeBytes)
  const isOrdered = ascending.every((place, index) => index === 0 || (ascending[index - 1] ?? 0) <= place)
  demand(isOrdered, 'its tables are out of order')

  const rootBlock = inodeTable + Math.floor(superblock.rootInode / 0x10000)
  const inodes = await readMetadataBlock(file, rootBlock)
  const root = BASE_INODE_LAYOUT.decode(inodes, superblock.rootInode % 0x10000)
  const isDirectory = [INODE_TYPES.directory, INODE_TYPES.directory + EXTENDED_INODE_OFFSET].includes(
    root.type,
  )
  demand(isDirectory, 'its root is not a directory')
  await checkFragments(file, fragmentTable, superblock.fragmentCount)
}

async function checkFragments(file: FileHandle, fragmentTable: number, count: number): Promise<void> {
  const step = Math.max(1, Math.floor(count / SAMPLED_FRAGMENTS))
  const perBlock = METADATA_BYTES / FRAGMENT_ENTRY.sizeBytes
  for (let index = 0; index < count; index += step) {
    const location = await readAt(file, fragmentTable + 8 * Math.floor(index / perBlock), 8)
    const block = await readMetadataBlock(file, Number(location.readBigUInt64LE()))
    const { start, storedSize } = FRAGMENT_ENTRY.decode(block, (index % perBlock) * FRAGMENT_ENTRY.sizeBytes)
    if ((storedSize & BLOCK_UNCOMPRESSED) !== 0) continue
    const content = decompress(await readAt(file, start, storedSize))
    demand(content.length > 0 && content.length <= BLOCK_BYTES, `its fragment ${index} is damaged`)
  }
}

async function readMetadataBlock(file: FileHandle, position: number): Promise<Buffer> {
  const header = (await readAt(file, position, 2)).readUInt16LE()
  const stored = await readAt(file, position + 2, header & ~METADATA_UNCOMPRESSED)
  return (header & METADATA_UNCOMPRESSED) !== 0 ? stored : decompress(stored)
}

function decompress(bytes: Buffer): Buffer {
  try {
    return zstdDecompressSync(bytes)
  } catch (error) {
    throw unreadable('a block cannot be decompressed', error)
  }
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, position)
  demand(bytesRead === length, `it ends before byte ${position + length}`)
  return buffer
}

function demand(condition: boolean, problem: string): asserts condition {
  if (!condition) throw unreadable(problem)
}

function unreadable(problem: string, cause?: unknown): OciError {
  return new OciError('oci.internal', `Cannot use the image just written: ${problem}`, { cause })
}
