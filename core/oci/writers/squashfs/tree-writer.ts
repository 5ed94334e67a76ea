// Turns the tree into inodes and directory listings. Children come before their parents, because a listing names the
// places of its inodes; all inodes of a directory's children stand together.

import { Breather } from '../../breather.ts'
import type { FileNode, TreeNode } from '../../merge/tree.ts'
import type { BlockCompressor } from './block-compressor.ts'
import { DirectoryTable, type Listing, type ListingEntry } from './directory-table.ts'
import { INODE_TYPES, type MetadataReference, packReference, unpackReference } from './format.ts'
import { InodeTable } from './inode-table.ts'
import type { NodeNumbering, NumberedDirectory, NumberedNode } from './node-numbering.ts'
import type { StoredContent } from './stored-content.ts'

/** Stands for the place of an inode that is still to be written. */
const NOT_PLACED = -1

export interface WrittenTree {
  readonly inodes: InodeTable
  readonly directories: DirectoryTable
  readonly root: MetadataReference
  /** The place of each inode, as the disk has it; inode 1 comes first. */
  readonly references: Float64Array
}

export interface WriteTreeOptions {
  readonly compressor: BlockCompressor
  readonly contentOf: (file: FileNode) => StoredContent
  readonly signal?: AbortSignal | undefined
}

/** Writes the tables of inodes and listings for a numbered tree. Throws `oci.limit`, `oci.cancelled`. */
export async function writeTree(
  { directories, inodeCount }: NodeNumbering,
  { compressor, contentOf, signal }: WriteTreeOptions,
): Promise<WrittenTree> {
  const breather = new Breather(signal, 'write the image')
  const inodes = new InodeTable(compressor)
  const listings = new DirectoryTable(compressor)
  const references = new Float64Array(inodeCount).fill(NOT_PLACED)
  const written = new Map<NumberedDirectory, Listing>()

  const place = (target: NumberedDirectory | NumberedNode): MetadataReference => {
    const index = target.number - 1
    const known = references[index] ?? NOT_PLACED
    if (known !== NOT_PLACED) return unpackReference(known)
    const reference = add(target)
    references[index] = packReference(reference)
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
    const entries: ListingEntry[] = []
    for (const { name, target } of directory.children) {
      const type = INODE_TYPES[target.node.kind]
      entries.push({ name, type, inodeNumber: target.number, inode: place(target) })
      if (breather.isDue()) await breather.breathe()
    }
    written.set(directory, listings.add(entries))
  }
  const [root] = directories
  if (root === undefined) throw new Error('the tree has no root')
  const rootPlace = place(root)
  return { inodes, directories: listings, root: rootPlace, references }
}

function isFile(target: NumberedNode): target is NumberedNode<FileNode> {
  return target.node.kind === 'file'
}

function isOther(
  target: NumberedNode,
): target is NumberedNode<Exclude<TreeNode, FileNode | { kind: 'directory' }>> {
  return target.node.kind !== 'file' && target.node.kind !== 'directory'
}
