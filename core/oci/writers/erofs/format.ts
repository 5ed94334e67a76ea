// The on-disk format of EROFS, uncompressed: Linux fs/erofs/erofs_fs.h. Layouts leave out nothing that the kernel reads.

import type { TreeNode } from '../../merge/tree.ts'
import { binaryLayout } from '../binary-layout.ts'

export const EROFS_MAGIC = 0xe0f5e1e2
/** Guests have pages of 4 KiB, and kernels before 6.4 read no other block size than a page. */
export const BLOCK_BYTES = 4096
export const BLOCK_LOG = 12
export const SUPERBLOCK_OFFSET = 1024
/** Inodes stand on multiples of this behind the start of the metadata; their number (nid) counts them. */
export const INODE_SLOT_BYTES = 32

export const FEATURE_CHECKSUM = 0x1
/** The times of inodes are those of the last change of content. */
export const FEATURE_MTIME = 0x2
/** Incompatible: read by kernels from 5.15 on. */
export const FEATURE_CHUNKED_FILE = 0x4

/** struct erofs_super_block, 128 bytes. */
export const SUPERBLOCK = binaryLayout({
  magic: 'u32',
  checksum: 'u32',
  compatibleFeatures: 'u32',
  blockLog: 'u8',
  extensionSlots: 'u8',
  rootNid: 'u16',
  inodeCount: 'u64',
  /** Kernels give it to all compact inodes. */
  epoch: 'u64',
  epochNanoseconds: 'u32',
  blockCount: 'u32',
  metadataBlock: 'u32',
  sharedXattrBlock: 'u32',
  uuidLow: 'u64',
  uuidHigh: 'u64',
  volumeNameLow: 'u64',
  volumeNameHigh: 'u64',
  incompatibleFeatures: 'u32',
  compression: 'u16',
  deviceCount: 'u16',
  deviceTableSlot: 'u16',
  directoryBlockLog: 'u8',
  xattrPrefixCount: 'u8',
  xattrPrefixStart: 'u32',
  packedNid: 'u64',
  xattrFilter: 'u8',
  reserved0: 'u8',
  reserved1: 'u16',
  reserved2: 'u32',
  reserved3: 'u64',
  reserved4: 'u64',
})

/** struct erofs_inode_compact: no time of its own, 16-bit owners, less than 4 GiB. */
export const COMPACT_INODE = binaryLayout({
  format: 'u16',
  xattrUnits: 'u16',
  mode: 'u16',
  linkCount: 'u16',
  sizeBytes: 'u32',
  reserved0: 'u32',
  data: 'u32',
  number: 'u32',
  uid: 'u16',
  gid: 'u16',
  reserved1: 'u32',
})

/** struct erofs_inode_extended */
export const EXTENDED_INODE = binaryLayout({
  format: 'u16',
  xattrUnits: 'u16',
  mode: 'u16',
  reserved0: 'u16',
  sizeBytes: 'u64',
  data: 'u32',
  number: 'u32',
  uid: 'u32',
  gid: 'u32',
  mtime: 'i64',
  mtimeNanoseconds: 'u32',
  linkCount: 'u32',
  reserved1: 'u64',
  reserved2: 'u64',
})

/** Bit 0 of an inode's format: it is an extended one. */
export const FORMAT_EXTENDED = 1
/** Where the format says how the content is stored. */
export const FORMAT_LAYOUT_SHIFT = 1
/** All blocks in a row from block `data` on. */
export const LAYOUT_PLAIN = 0
/** As plain, but what is left after the last whole block stands behind the inode. */
export const LAYOUT_INLINE = 2
/** Chunks of a power of two blocks; a table of their first blocks stands behind the inode. */
export const LAYOUT_CHUNKS = 4
/** `data` of a chunked inode: how much larger than a block its chunks are. */
export const CHUNK_LOG_MASK = 0x1f
/** In a table of chunks: a hole. As `data`: there are no blocks. */
export const NO_BLOCK = 0xffff_ffff

/** struct erofs_dirent; its name stands at `nameOffset` of the directory's block. */
export const DIRENT = binaryLayout({ nid: 'u64', nameOffset: 'u16', fileType: 'u8', reserved: 'u8' })

/** struct erofs_xattr_ibody_header; the ids of shared attributes follow, then the inode's own attributes. */
export const XATTR_HEADER = binaryLayout({
  nameFilter: 'u32',
  sharedCount: 'u8',
  reserved0: 'u8',
  reserved1: 'u16',
  reserved2: 'u32',
})
/** struct erofs_xattr_entry; name and value follow, padded to 4 bytes. */
export const XATTR_ENTRY = binaryLayout({ nameBytes: 'u8', prefix: 'u8', valueBytes: 'u16' })
/** Attributes and the ids of shared ones are counted and aligned in this. */
export const XATTR_UNIT_BYTES = 4

/** FT_* of include/linux/fs_types.h */
export const FILE_TYPES: Readonly<Record<TreeNode['kind'], number>> = {
  file: 1,
  directory: 2,
  'character-device': 3,
  'block-device': 4,
  fifo: 5,
  symlink: 7,
}

/** S_IF* of include/uapi/linux/stat.h */
export const MODE_TYPES: Readonly<Record<TreeNode['kind'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  'character-device': 0o020000,
  'block-device': 0o060000,
  fifo: 0o010000,
  symlink: 0o120000,
}
export const MODE_TYPE_MASK = 0o170000

/** How many blocks so many bytes take. */
export function blocksOf(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES)
}

export function alignUp(position: number, unitBytes: number): number {
  return Math.ceil(position / unitBytes) * unitBytes
}
