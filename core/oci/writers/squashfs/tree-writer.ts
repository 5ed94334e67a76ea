// Turns the tree into inodes and directory listings. Children come before their parents, because a listing names the
// places of its inodes; all inodes of a directory's children stand together.

import type { FileNode, TreeNode } from '../../merge/tree.ts'
import type { BlockCompressor } from './block-compressor.ts'
import { DirectoryTable, type Listing, type ListingEntry } from './directory-table.ts'
import { INODE_TYPES, type MetadataReference } from './format.ts'
import { InodeTable } from './inode-table.ts'
import type { NodeNumbering, NumberedDirectory, NumberedNode } from './node-numbering.ts'
import type { StoredContent } from './stored-content.ts'

export interface WrittenTree {
  readonly inodes: InodeTable
  readonly directories: DirectoryTable
  readonly root: MetadataReference
  /** The place of each inode; inode 1 comes first. */
  readonly references: readonly MetadataReference[]
}

/** Writes the tables of inodes and listings for a numbered tree. */
export function writeTree(
  { directories, inodeCount }: NodeNumbering,
  compressor: BlockCompressor,
  contentOf: (file: FileNode) => StoredContent,
): WrittenTree {
  const inodes = new InodeTable(compressor)
  const listings = new DirectoryTable(compressor)
  const references = new Array<MetadataReference | undefined>(inodeCount)
  const written = new Map<NumberedDirectory, Listing>()

  const place = (target: NumberedDirectory | NumberedNode): MetadataReference => {
    const index = target.number - 1
    const reference = references[index] ?? add(target)
    references[index] = reference
    return reference
  }
  const add = (target: NumberedDirectory | NumberedNode): MetadataReference => {
    if ('children' in target) return addDirectory(target)
    if (isFile(target)) return inodes.addFile(target, contentOf(target.node))
    if (isOther(target)) return inodes.addOther(target)
    throw new Error(`inode ${target.number} is a directory without a listing`)
  }
  const addDirectory = (directory: NumberedDirectory): MetadataReference => {
    const listing = written.get(directory)
    if (listing === undefined) throw new Error(`directory ${directory.number} is written before its listing`)
    written.delete(directory)
    // As mksquashfs has it: the root's parent is one that does not exist.
    const parentNumber = directory.parentNumber === 0 ? inodeCount + 1 : directory.parentNumber
    return inodes.addDirectory(directory, parentNumber, listing)
  }

  for (const directory of directories.toReversed()) {
    const entries = directory.children.map(
      ({ name, target }): ListingEntry => ({
        name,
        type: INODE_TYPES[target.node.kind],
        inodeNumber: target.number,
        inode: place(target),
      }),
    )
    written.set(directory, listings.add(entries))
  }
  const [root] = directories
  if (root === undefined) throw new Error('the tree has no root')
  const rootPlace = place(root)
  return { inodes, directories: listings, root: rootPlace, references: references.filter(isDefined) }
}

function isFile(target: NumberedNode): target is NumberedNode<FileNode> {
  return target.node.kind === 'file'
}

function isOther(
  target: NumberedNode,
): target is NumberedNode<Exclude<TreeNode, FileNode | { kind: 'directory' }>> {
  return target.node.kind !== 'file' && target.node.kind !== 'directory'
}

function isDefined<Value>(value: Value | undefined): value is Value {
  return value !== undefined
}
