// What the inode of each node will be: its form, how its content lies, and what stands behind it. Sizes come first, because
// directories name the places of inodes and inodes the places of directories.

import { bytesOf } from '../../layer/byte-string.ts'
import type { FileNode, TreeNode } from '../../merge/tree.ts'
import type { NumberedDirectory, NumberedNode } from '../squashfs/node-numbering.ts'
import { type DirectoryBlock, directoryBlocks, directoryBytes } from './directory-blocks.ts'
import {
  BLOCK_BYTES,
  COMPACT_INODE,
  EXTENDED_INODE,
  LAYOUT_CHUNKS,
  LAYOUT_INLINE,
  LAYOUT_PLAIN,
  NO_BLOCK,
} from './format.ts'
import type { UsedContent, UsedContents } from './used-contents.ts'
import type { XattrStore } from './xattr-store.ts'

const MAX_16 = 0xffff
const MAX_32 = 0xffff_ffff

/** What stands behind an inode and its extended attributes. */
export type Trailer =
  | { readonly kind: 'none' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'chunk-table'; readonly content: UsedContent; readonly table: Uint32Array }
  | { readonly kind: 'tail'; readonly content: UsedContent }
  | { readonly kind: 'directory-block'; readonly block: DirectoryBlock }

export interface InodePlan {
  readonly isExtended: boolean
  readonly layout: number
  readonly sizeBytes: number
  /** The block that its content begins at, the number of its device, or the form of its chunks. */
  readonly data: number
  readonly xattrs: Buffer
  readonly trailer: Trailer
  /** Where the trailer begins, from the start of the inode. */
  readonly trailerOffset: number
  /** Inode, extended attributes and trailer. */
  readonly recordBytes: number
}

/** The content of a node as its inode sees it. */
type Body = Pick<InodePlan, 'layout' | 'sizeBytes' | 'data' | 'trailer'>

const NO_CONTENT: Body = { layout: LAYOUT_PLAIN, sizeBytes: 0, data: NO_BLOCK, trailer: { kind: 'none' } }

export class InodePlanner {
  readonly #xattrs: XattrStore
  /** The time that inodes without one of their own have. */
  readonly #epoch: number
  /** By the number of its inode, from 1: the first block of a directory or of a long link target. */
  readonly #firstBlocks: Uint32Array

  constructor(xattrs: XattrStore, epoch: number, inodeCount: number) {
    this.#xattrs = xattrs
    this.#epoch = epoch
    this.#firstBlocks = new Uint32Array(inodeCount + 1).fill(NO_BLOCK)
  }

  /** Whether so many bytes of content can stand behind the inode of a node, in the same block. */
  hasRoomFor(numbered: NumberedNode, contentBytes: number): boolean {
    const head = this.#isExtended(numbered) ? EXTENDED_INODE : COMPACT_INODE
    return head.sizeBytes + this.#xattrs.bodyOf(numbered.node).length + contentBytes <= BLOCK_BYTES
  }

  /** Blocks of a node's own that a directory or a symbolic link needs in the image. */
  ownBlocks(numbered: NumberedDirectory | NumberedNode): readonly (DirectoryBlock | Buffer)[] {
    if (isDirectory(numbered)) {
      const blocks = directoryBlocks(numbered)
      return this.#isLastBlockInline(numbered, blocks) ? blocks.slice(0, -1) : blocks
    }
    if (numbered.node.kind !== 'symlink') return []
    const target = bytesOf(numbered.node.target)
    return this.hasRoomFor(numbered, target.length) ? [] : [target]
  }

  /** Says where the own blocks of a node begin. */
  placeOwnBlocks(numbered: NumberedNode, firstBlock: number): void {
    this.#firstBlocks[numbered.number] = firstBlock
  }

  plan(numbered: NumberedDirectory | NumberedNode, contents: UsedContents): InodePlan {
    const isExtended = this.#isExtended(numbered)
    const head = isExtended ? EXTENDED_INODE : COMPACT_INODE
    const xattrs = this.#xattrs.bodyOf(numbered.node)
    const body = this.#body(numbered, contents)
    const trailerOffset = head.sizeBytes + xattrs.length
    return {
      isExtended,
      xattrs,
      ...body,
      trailerOffset,
      recordBytes: trailerOffset + trailerBytes(body.trailer),
    }
  }

  #isExtended({ node, linkCount }: NumberedNode): boolean {
    return node.mtimeSeconds !== this.#epoch || needsExtendedForm(node, linkCount)
  }

  #body(numbered: NumberedDirectory | NumberedNode, contents: UsedContents): Body {
    if (isDirectory(numbered)) return this.#directoryBody(numbered)
    const { node } = numbered
    switch (node.kind) {
      case 'file':
        return node.sizeBytes === 0 ? NO_CONTENT : fileBody(contents.of(node))
      case 'symlink':
        return this.#symlinkBody(numbered, bytesOf(node.target))
      case 'character-device':
      case 'block-device':
        return { ...NO_CONTENT, data: encodeDevice(node) }
      case 'fifo':
        return { ...NO_CONTENT, data: 0 }
      case 'directory':
        throw new Error(`inode ${numbered.number} is a directory without its children`)
    }
  }

  #directoryBody(directory: NumberedDirectory): Body {
    const blocks = directoryBlocks(directory)
    const common = {
      sizeBytes: directoryBytes(blocks),
      data: this.#firstBlocks[directory.number] ?? NO_BLOCK,
    }
    const block = blocks.at(-1)
    if (block === undefined || !this.#isLastBlockInline(directory, blocks))
      return { ...common, layout: LAYOUT_PLAIN, trailer: { kind: 'none' } }
    return { ...common, layout: LAYOUT_INLINE, trailer: { kind: 'directory-block', block } }
  }

  #symlinkBody(link: NumberedNode, target: Buffer): Body {
    const common = { sizeBytes: target.length, data: this.#firstBlocks[link.number] ?? NO_BLOCK }
    if (!this.hasRoomFor(link, target.length))
      return { ...common, layout: LAYOUT_PLAIN, trailer: { kind: 'none' } }
    return { ...common, layout: LAYOUT_INLINE, trailer: { kind: 'bytes', bytes: target } }
  }

  /** A full last block is no tail to the kernel. */
  #isLastBlockInline(directory: NumberedNode, blocks: readonly DirectoryBlock[]): boolean {
    const lastBytes = blocks.at(-1)?.sizeBytes ?? 0
    return lastBytes < BLOCK_BYTES && this.hasRoomFor(directory, lastBytes)
  }
}

/** Whether a node has something that a compact inode has no room for, its time apart. */
export function needsExtendedForm(node: TreeNode, linkCount: number): boolean {
  const sizeBytes = node.kind === 'file' ? node.sizeBytes : 0
  return node.uid > MAX_16 || node.gid > MAX_16 || linkCount > MAX_16 || sizeBytes > MAX_32
}

export function isDirectory(numbered: NumberedDirectory | NumberedNode): numbered is NumberedDirectory {
  return 'children' in numbered
}

export function isFile(numbered: NumberedNode): numbered is NumberedNode<FileNode> {
  return numbered.node.kind === 'file'
}

function fileBody(content: UsedContent): Body {
  const { stored, place } = content
  const { sizeBytes } = stored
  if (place.chunks !== null) {
    const { log, table } = place.chunks
    return { layout: LAYOUT_CHUNKS, sizeBytes, data: log, trailer: { kind: 'chunk-table', content, table } }
  }
  const data = place.blockCount === 0 ? NO_BLOCK : place.firstBlock
  if (place.inlineTailBytes === 0) return { layout: LAYOUT_PLAIN, sizeBytes, data, trailer: { kind: 'none' } }
  return { layout: LAYOUT_INLINE, sizeBytes, data, trailer: { kind: 'tail', content } }
}

function trailerBytes(trailer: Trailer): number {
  switch (trailer.kind) {
    case 'none':
      return 0
    case 'bytes':
      return trailer.bytes.length
    case 'chunk-table':
      return trailer.table.byteLength
    case 'tail':
      return trailer.content.place.inlineTailBytes
    case 'directory-block':
      return trailer.block.sizeBytes
  }
}

/** The kernel's new_encode_dev (include/linux/kdev_t.h). */
function encodeDevice({ major, minor }: { readonly major: number; readonly minor: number }): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}
