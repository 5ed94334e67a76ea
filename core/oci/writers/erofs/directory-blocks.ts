// The blocks of a directory: entries sorted by the bytes of their names, "." and ".." among them, as many in a block as
// fit; in each block first all entries, then all names (fs/erofs/namei.c searches blocks and entries by halves).

import type { ByteString } from '../../layer/byte-string.ts'
import type { TreeNode } from '../../merge/tree.ts'
import type { NumberedDirectory } from '../squashfs/node-numbering.ts'
import { BLOCK_BYTES, DIRENT, FILE_TYPES } from './format.ts'

interface DirectoryEntry {
  readonly name: ByteString
  readonly inodeNumber: number
  readonly kind: TreeNode['kind']
}

/** Entries that share a block, and the bytes of it that they take. */
export interface DirectoryBlock {
  readonly entries: readonly DirectoryEntry[]
  readonly sizeBytes: number
}

/** The blocks of a directory, in order; there is at least one. */
export function directoryBlocks(directory: NumberedDirectory): DirectoryBlock[] {
  const blocks: DirectoryBlock[] = []
  let entries: DirectoryEntry[] = []
  let sizeBytes = 0
  for (const entry of sortedEntries(directory)) {
    const entryBytes = DIRENT.sizeBytes + entry.name.length
    if (sizeBytes + entryBytes > BLOCK_BYTES) {
      blocks.push({ entries, sizeBytes })
      entries = []
      sizeBytes = 0
    }
    entries.push(entry)
    sizeBytes += entryBytes
  }
  return [...blocks, { entries, sizeBytes }]
}

/** Size of a directory as its inode has it: all blocks but the last are full. */
export function directoryBytes(blocks: readonly DirectoryBlock[]): number {
  return (blocks.length - 1) * BLOCK_BYTES + (blocks.at(-1)?.sizeBytes ?? 0)
}

/** Writes a block into `target`, which holds zeros. `nidOf` gives the place of an inode by its number. */
export function encodeDirectoryBlock(
  { entries }: DirectoryBlock,
  target: Buffer,
  nidOf: (inodeNumber: number) => number,
): void {
  let nameOffset = entries.length * DIRENT.sizeBytes
  for (const [index, { name, inodeNumber, kind }] of entries.entries()) {
    const nid = nidOf(inodeNumber)
    const entry = DIRENT.encode({ nid, nameOffset, fileType: FILE_TYPES[kind], reserved: 0 })
    entry.copy(target, index * DIRENT.sizeBytes)
    target.write(name, nameOffset, 'latin1')
    nameOffset += name.length
  }
}

function sortedEntries(directory: NumberedDirectory): DirectoryEntry[] {
  const { number, parentNumber, children } = directory
  const entries = children.map(
    ({ name, target }): DirectoryEntry => ({ name, inodeNumber: target.number, kind: target.node.kind }),
  )
  const parent = parentNumber === 0 ? number : parentNumber
  entries.push({ name: '.', inodeNumber: number, kind: 'directory' })
  entries.push({ name: '..', inodeNumber: parent, kind: 'directory' })
  return entries.sort((one, other) => (one.name < other.name ? -1 : 1))
}
