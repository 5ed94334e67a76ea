// The on-disk format of squashfs 4.0: Linux fs/squashfs/squashfs_fs.h. Layouts leave out nothing that the kernel reads.

import { binaryLayout } from '../binary-layout.ts'

export const SQUASHFS_MAGIC = 0x73717368
export const COMPRESSION_ZSTD = 6
export const BLOCK_BYTES = 128 * 1024
export const BLOCK_LOG = 17
/** Metadata is cut into blocks of 8 KiB before compression. */
export const METADATA_BYTES = 8192
/** In the 16-bit header of a metadata block: stored as it is. */
export const METADATA_UNCOMPRESSED = 0x8000
/** In the size of a data block or fragment: stored as it is. */
export const BLOCK_UNCOMPRESSED = 1 << 24
/** "No fragment", "no extended attributes". */
export const NONE_32 = 0xffff_ffff

export const FLAG_NO_FRAGMENTS = 0x10
export const FLAG_DUPLICATES = 0x40
export const FLAG_EXPORTABLE = 0x80
export const FLAG_NO_XATTRS = 0x200

/** The image is padded to this, so that a loop device of 4 KiB sectors can hold it. */
export const IMAGE_ALIGNMENT_BYTES = 4096

/** struct squashfs_super_block */
export const SUPERBLOCK = binaryLayout({
  magic: 'u32',
  inodeCount: 'u32',
  modificationTime: 'u32',
  blockBytes: 'u32',
  fragmentCount: 'u32',
  compression: 'u16',
  blockLog: 'u16',
  flags: 'u16',
  idCount: 'u16',
  versionMajor: 'u16',
  versionMinor: 'u16',
  rootInode: 'u64',
  bytesUsed: 'u64',
  idTable: 'u64',
  xattrTable: 'u64',
  inodeTable: 'u64',
  directoryTable: 'u64',
  fragmentTable: 'u64',
  exportTable: 'u64',
})

/** struct squashfs_base_inode */
const BASE_INODE = {
  type: 'u16',
  mode: 'u16',
  uidIndex: 'u16',
  gidIndex: 'u16',
  mtime: 'u32',
  inodeNumber: 'u32',
} as const

export const BASE_INODE_LAYOUT = binaryLayout(BASE_INODE)

/** struct squashfs_reg_inode; the sizes of the blocks follow, 32 bits each. */
export const FILE_INODE = binaryLayout({
  ...BASE_INODE,
  start: 'u32',
  fragment: 'u32',
  fragmentOffset: 'u32',
  fileBytes: 'u32',
})

/** struct squashfs_lreg_inode; the sizes of the blocks follow, 32 bits each. */
export const EXTENDED_FILE_INODE = binaryLayout({
  ...BASE_INODE,
  start: 'u64',
  fileBytes: 'u64',
  sparseBytes: 'u64',
  linkCount: 'u32',
  fragment: 'u32',
  fragmentOffset: 'u32',
  xattr: 'u32',
})

/** struct squashfs_dir_inode */
export const DIRECTORY_INODE = binaryLayout({
  ...BASE_INODE,
  listingBlock: 'u32',
  linkCount: 'u32',
  listingBytes: 'u16',
  listingOffset: 'u16',
  parentInode: 'u32',
})

/** struct squashfs_ldir_inode; the directory index follows. */
export const EXTENDED_DIRECTORY_INODE = binaryLayout({
  ...BASE_INODE,
  linkCount: 'u32',
  listingBytes: 'u32',
  listingBlock: 'u32',
  parentInode: 'u32',
  indexCount: 'u16',
  listingOffset: 'u16',
  xattr: 'u32',
})

/** struct squashfs_symlink_inode; the target follows, in the extended form then the xattr id. */
export const SYMLINK_INODE = binaryLayout({ ...BASE_INODE, linkCount: 'u32', targetBytes: 'u32' })

/** struct squashfs_dev_inode and struct squashfs_ldev_inode */
export const DEVICE_INODE = binaryLayout({ ...BASE_INODE, linkCount: 'u32', device: 'u32' })
export const EXTENDED_DEVICE_INODE = binaryLayout({
  ...BASE_INODE,
  linkCount: 'u32',
  device: 'u32',
  xattr: 'u32',
})

/** struct squashfs_ipc_inode and struct squashfs_lipc_inode */
export const FIFO_INODE = binaryLayout({ ...BASE_INODE, linkCount: 'u32' })
export const EXTENDED_FIFO_INODE = binaryLayout({ ...BASE_INODE, linkCount: 'u32', xattr: 'u32' })

/** struct squashfs_dir_header: goes before at most 256 entries whose inodes share a metadata block. */
export const DIRECTORY_HEADER = binaryLayout({ countMinusOne: 'u32', inodeBlock: 'u32', inodeNumber: 'u32' })
export const DIRECTORY_HEADER_ENTRIES = 256

/** struct squashfs_dir_entry; the name follows. */
export const DIRECTORY_ENTRY = binaryLayout({
  inodeOffset: 'u16',
  inodeNumberDelta: 'i16',
  type: 'u16',
  nameBytesMinusOne: 'u16',
})

/** struct squashfs_dir_index; the name follows. */
export const DIRECTORY_INDEX = binaryLayout({
  listingOffset: 'u32',
  listingBlock: 'u32',
  nameBytesMinusOne: 'u32',
})

/** struct squashfs_fragment_entry */
export const FRAGMENT_ENTRY = binaryLayout({ start: 'u64', storedSize: 'u32', unused: 'u32' })

/** struct squashfs_xattr_entry (the name without its prefix follows), struct squashfs_xattr_val (the value follows). */
export const XATTR_ENTRY = binaryLayout({ prefix: 'u16', nameBytes: 'u16' })
export const XATTR_VALUE = binaryLayout({ valueBytes: 'u32' })

/** struct squashfs_xattr_id and struct squashfs_xattr_id_table */
export const XATTR_ID = binaryLayout({ reference: 'u64', count: 'u32', sizeBytes: 'u32' })
export const XATTR_ID_TABLE = binaryLayout({ xattrTable: 'u64', idCount: 'u32', unused: 'u32' })

/** Types of inodes; the extended form of each is 7 higher. */
export const INODE_TYPES = {
  directory: 1,
  file: 2,
  symlink: 3,
  'block-device': 4,
  'character-device': 5,
  fifo: 6,
} as const
export const EXTENDED_INODE_OFFSET = 7

/** An inode's place: the metadata block's start in its table, and the offset inside the uncompressed block. */
export interface MetadataReference {
  readonly block: number
  readonly offset: number
}

/** A reference as the disk has it, in 64 bits. */
export function packReference({ block, offset }: MetadataReference): number {
  return block * 0x10000 + offset
}

/** The place that `packReference` made a number of. */
export function unpackReference(packed: number): MetadataReference {
  return { block: Math.floor(packed / 0x10000), offset: packed % 0x10000 }
}
