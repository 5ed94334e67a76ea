// Looks at a finished image as the kernel will: superblock, root directory, and the inodes of all that stands in it.
// Cheap, and enough to keep a broken image from ever being mounted by a guest.

import type { FileHandle } from 'node:fs/promises'
import { OciError } from '../../errors.ts'
import { readFully } from '../../file-bytes.ts'
import {
  BLOCK_BYTES,
  BLOCK_LOG,
  blocksOf,
  COMPACT_INODE,
  DIRENT,
  EROFS_MAGIC,
  EXTENDED_INODE,
  FILE_TYPES,
  FORMAT_EXTENDED,
  FORMAT_LAYOUT_SHIFT,
  INODE_SLOT_BYTES,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  MODE_TYPE_MASK,
  MODE_TYPES,
  SUPERBLOCK,
  SUPERBLOCK_OFFSET,
  XATTR_HEADER,
  XATTR_UNIT_BYTES,
} from './format.ts'
import { superblockChecksum } from './superblock.ts'

/** So many blocks of the root directory are looked at. */
const ROOT_BLOCKS = 16

interface CheckedInode {
  readonly mode: number
  readonly layout: number
  readonly sizeBytes: number
  readonly data: number
  /** Where in the image inline content stands. */
  readonly inlinePosition: number
}

/** Throws `oci.internal` unless the file is an image of `sizeBytes` that can be read. */
export async function checkErofs(file: FileHandle, sizeBytes: number): Promise<void> {
  const first = await readAt(file, 0, BLOCK_BYTES)
  const superblock = SUPERBLOCK.decode(first, SUPERBLOCK_OFFSET)
  demand(superblock.magic === EROFS_MAGIC && superblock.blockLog === BLOCK_LOG, 'it has no superblock')
  demand(superblock.checksum === superblockChecksum(first), 'the checksum of its superblock is wrong')
  const isSizeRight =
    superblock.blockCount * BLOCK_BYTES === sizeBytes && (await file.stat()).size === sizeBytes
  demand(isSizeRight, 'its size is not what was written')
  const metadataStart = superblock.metadataBlock * BLOCK_BYTES
  const root = await readInode(file, metadataStart + superblock.rootNid * INODE_SLOT_BYTES)
  demand((root.mode & MODE_TYPE_MASK) === MODE_TYPES.directory, 'its root is not a directory')
  for (let block = 0; block < Math.min(blocksOf(root.sizeBytes), ROOT_BLOCKS); block++) {
    for (const { nid, name, fileType } of await readEntries(file, root, block)) {
      const inode = await readInode(file, metadataStart + nid * INODE_SLOT_BYTES)
      const isKnown = Object.entries(MODE_TYPES).some(
        ([kind, type]) =>
          type === (inode.mode & MODE_TYPE_MASK) && FILE_TYPES[kind as keyof typeof FILE_TYPES] === fileType,
      )
      demand(isKnown, `its entry ${JSON.stringify(name)} is not what its directory says`)
    }
  }
}

async function readInode(file: FileHandle, position: number): Promise<CheckedInode> {
  const head = await readAt(file, position, INODE_SLOT_BYTES)
  const isExtended = (head.readUInt16LE() & FORMAT_EXTENDED) !== 0
  const form = isExtended ? EXTENDED_INODE : COMPACT_INODE
  const { format, xattrUnits, mode, sizeBytes, data } = form.decode(
    await readAt(file, position, form.sizeBytes),
  )
  const xattrBytes = xattrUnits === 0 ? 0 : XATTR_HEADER.sizeBytes + (xattrUnits - 1) * XATTR_UNIT_BYTES
  const inlinePosition = position + form.sizeBytes + xattrBytes
  return { mode, layout: format >> FORMAT_LAYOUT_SHIFT, sizeBytes, data, inlinePosition }
}

async function readEntries(file: FileHandle, directory: CheckedInode, block: number) {
  const { layout, sizeBytes, data, inlinePosition } = directory
  demand(layout === LAYOUT_PLAIN || layout === LAYOUT_INLINE, 'its root directory cannot be read')
  const isInline = layout === LAYOUT_INLINE && block === blocksOf(sizeBytes) - 1
  const length = Math.min(BLOCK_BYTES, sizeBytes - block * BLOCK_BYTES)
  const bytes = await readAt(file, isInline ? inlinePosition : (data + block) * BLOCK_BYTES, length)
  const entries: { nid: number; name: string; fileType: number }[] = []
  const namesStart = length < DIRENT.sizeBytes ? 0 : DIRENT.decode(bytes).nameOffset
  demand(namesStart > 0 && namesStart <= length, 'its root directory is damaged')
  for (let offset = 0; offset < namesStart; offset += DIRENT.sizeBytes) {
    const { nid, nameOffset, fileType } = DIRENT.decode(bytes, offset)
    const isLast = offset + DIRENT.sizeBytes === namesStart
    const nameEnd = isLast ? length : DIRENT.decode(bytes, offset + DIRENT.sizeBytes).nameOffset
    demand(nameOffset < nameEnd && nameEnd <= length, 'its root directory is damaged')
    entries.push({ nid, fileType, name: bytes.toString('utf8', nameOffset, nameEnd).replace(/\0+$/, '') })
  }
  return entries
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  try {
    await readFully(file, bytes, position)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw unreadable(`it ends before byte ${position + length}`, error)
  }
  return bytes
}

function demand(condition: boolean, problem: string): asserts condition {
  if (!condition) throw unreadable(problem)
}

function unreadable(problem: string, cause?: unknown): OciError {
  return new OciError('oci.internal', `Cannot use the image just written: ${problem}`, { cause })
}
