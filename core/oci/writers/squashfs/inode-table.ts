// The inodes. Each kind has a basic form and an extended one, which is taken only where the basic form has no room:
// extended attributes, hard links of files, holes, large files and directories.

import { bytesOf } from '../../layer/byte-string.ts'
import type { DeviceNode, FifoNode, FileNode, SymlinkNode, TreeNode } from '../../merge/tree.ts'
import type { BlockCompressor } from './block-compressor.ts'
import type { Listing } from './directory-table.ts'
import {
  DEVICE_INODE,
  DIRECTORY_INODE,
  EXTENDED_DEVICE_INODE,
  EXTENDED_DIRECTORY_INODE,
  EXTENDED_FIFO_INODE,
  EXTENDED_FILE_INODE,
  EXTENDED_INODE_OFFSET,
  FIFO_INODE,
  FILE_INODE,
  INODE_TYPES,
  type MetadataReference,
  NONE_32,
  SYMLINK_INODE,
} from './format.ts'
import { IdTable } from './id-table.ts'
import { MetadataTable } from './metadata-table.ts'
import type { NumberedDirectory, NumberedNode } from './node-numbering.ts'
import type { StoredContent } from './stored-content.ts'
import { XattrTable } from './xattr-table.ts'

const MAX_32 = 0xffff_ffff
const MAX_16 = 0xffff
/** The kernel counts "." and ".." into the size of a listing. */
const DOT_ENTRIES_BYTES = 3
const SYMLINK_MODE = 0o777

/** What the forms of an inode have in common before its type is known. */
interface InodeHead {
  readonly mode: number
  readonly uidIndex: number
  readonly gidIndex: number
  readonly mtime: number
  readonly inodeNumber: number
  readonly linkCount: number
  readonly xattr: number
}

export class InodeTable {
  readonly ids = new IdTable()
  readonly xattrs: XattrTable
  readonly #table: MetadataTable
  #record = Buffer.allocUnsafe(256)

  constructor(compressor: BlockCompressor) {
    this.#table = new MetadataTable(compressor)
    this.xattrs = new XattrTable(compressor)
  }

  addDirectory(directory: NumberedDirectory, parentNumber: number, listing: Listing): MetadataReference {
    const head = this.#head(directory)
    const listingBytes = listing.sizeBytes + DOT_ENTRIES_BYTES
    const place = { listingBlock: listing.place.block, listingOffset: listing.place.offset }
    const common = { ...head, ...place, listingBytes, parentInode: parentNumber }
    const type = INODE_TYPES.directory
    if (head.xattr === NONE_32 && listing.index.length === 0 && listingBytes <= MAX_16)
      return this.#table.append(DIRECTORY_INODE.encode({ ...common, type }))
    const index = listing.index.slice(0, MAX_16)
    const inode = { ...common, type: type + EXTENDED_INODE_OFFSET, indexCount: index.length }
    return this.#table.append(Buffer.concat([EXTENDED_DIRECTORY_INODE.encode(inode), ...index]))
  }

  addFile(file: NumberedNode<FileNode>, content: StoredContent): MetadataReference {
    const head = this.#head(file)
    const { start, sizeBytes: fileBytes, sparseBytes, fragment, fragmentOffset, blockSizes } = content
    const common = { ...head, start, fileBytes, fragment, fragmentOffset }
    const needsExtended =
      head.xattr !== NONE_32 || head.linkCount > 1 || sparseBytes > 0 || start > MAX_32 || fileBytes > MAX_32
    const type = INODE_TYPES.file + (needsExtended ? EXTENDED_INODE_OFFSET : 0)
    const room = 4 * blockSizes.length
    const record = this.#scratch(EXTENDED_FILE_INODE.sizeBytes + room)
    let end = needsExtended
      ? EXTENDED_FILE_INODE.encodeInto(record, 0, { ...common, sparseBytes, type })
      : FILE_INODE.encodeInto(record, 0, { ...common, type })
    for (const size of blockSizes) end = record.writeUInt32LE(size, end)
    return this.#table.append(record.subarray(0, end))
  }

  addOther(numbered: NumberedNode<SymlinkNode | DeviceNode | FifoNode>): MetadataReference {
    const { node } = numbered
    const head = this.#head(numbered)
    const isExtended = head.xattr !== NONE_32
    const type = INODE_TYPES[node.kind] + (isExtended ? EXTENDED_INODE_OFFSET : 0)
    switch (node.kind) {
      case 'symlink': {
        const target = bytesOf(node.target)
        const inode = SYMLINK_INODE.encode({ ...head, mode: SYMLINK_MODE, type, targetBytes: target.length })
        const xattr = Buffer.alloc(isExtended ? 4 : 0)
        if (isExtended) xattr.writeUInt32LE(head.xattr)
        return this.#table.append(Buffer.concat([inode, target, xattr]))
      }
      case 'character-device':
      case 'block-device': {
        const inode = { ...head, type, device: encodeDevice(node) }
        return this.#table.append((isExtended ? EXTENDED_DEVICE_INODE : DEVICE_INODE).encode(inode))
      }
      case 'fifo':
        return this.#table.append((isExtended ? EXTENDED_FIFO_INODE : FIFO_INODE).encode({ ...head, type }))
    }
  }

  /** The table as it goes onto the disk. */
  finish(): Buffer {
    return this.#table.finish()
  }

  /** Memory for one record, used again for the next. */
  #scratch(sizeBytes: number): Buffer {
    if (this.#record.length < sizeBytes) this.#record = Buffer.allocUnsafe(2 * sizeBytes)
    return this.#record
  }

  #head({ node, number, linkCount }: NumberedNode<TreeNode>): InodeHead {
    return {
      mode: node.mode,
      uidIndex: this.ids.positionOf(node.uid),
      gidIndex: this.ids.positionOf(node.gid),
      mtime: Math.min(Math.max(node.mtimeSeconds, 0), MAX_32),
      inodeNumber: number,
      linkCount,
      xattr: this.xattrs.numberOf(node.xattrs),
    }
  }
}

/** The kernel's new_encode_dev (include/linux/kdev_t.h). */
function encodeDevice({ major, minor }: DeviceNode): number {
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}
