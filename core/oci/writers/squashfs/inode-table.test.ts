import { zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { FileNode } from '../../merge/tree.ts'
import { BlockCompressor } from './block-compressor.ts'
import {
  BASE_INODE_LAYOUT,
  EXTENDED_DIRECTORY_INODE,
  EXTENDED_FILE_INODE,
  METADATA_UNCOMPRESSED,
  NONE_32,
} from './format.ts'
import { InodeTable } from './inode-table.ts'
import { emptyContent, type StoredContent } from './stored-content.ts'

const GIB = 1024 ** 3

let compressor: BlockCompressor
beforeAll(() => {
  compressor = new BlockCompressor(1, 1)
})
afterAll(() => compressor.close())

const node: FileNode = {
  kind: 'file',
  mode: 0o640,
  uid: 5,
  gid: 6,
  mtimeSeconds: 7,
  xattrs: null,
  sizeBytes: 0,
  layer: 0,
  ordinal: 0,
}

/** The bytes of the inode that a file gets. */
function fileInode(content: Partial<StoredContent>, linkCount = 1): Buffer {
  const table = new InodeTable(compressor)
  table.addFile({ node, number: 3, linkCount }, { ...emptyContent(content.sizeBytes ?? 0), ...content })
  return uncompressed(table.finish())
}

function uncompressed(metadata: Buffer): Buffer {
  const header = metadata.readUInt16LE()
  const body = metadata.subarray(2)
  return (header & METADATA_UNCOMPRESSED) !== 0 ? body : zstdDecompressSync(body)
}

describe('file inodes', () => {
  test('are basic as long as that has room for everything', () => {
    const inode = fileInode({ sizeBytes: 4 * GIB - 1, start: 4 * GIB - 1, blockSizes: [5, 6] })
    expect(BASE_INODE_LAYOUT.decode(inode)).toMatchObject({ type: 2, mode: 0o640, mtime: 7, inodeNumber: 3 })
    expect(inode.length).toBe(32 + 8)
  })

  test.each<[string, Partial<StoredContent>, number]>([
    ['a size of 4 GiB', { sizeBytes: 4 * GIB }, 1],
    ['a place beyond 4 GiB', { sizeBytes: 1, start: 4 * GIB }, 1],
    ['holes', { sizeBytes: 131_072, sparseBytes: 131_072, blockSizes: [0] }, 1],
    ['a second name', { sizeBytes: 1 }, 2],
  ])('are extended for %s', (_, content, linkCount) => {
    const inode = fileInode(content, linkCount)
    expect(EXTENDED_FILE_INODE.decode(inode)).toMatchObject({
      type: 9,
      fileBytes: content.sizeBytes,
      start: content.start ?? 0,
      sparseBytes: content.sparseBytes ?? 0,
      linkCount,
      fragment: NONE_32,
      xattr: NONE_32,
    })
  })
})

describe('directory inodes', () => {
  const directory = {
    node: { ...node, kind: 'directory' as const, children: new Map() },
    number: 9,
    linkCount: 2,
    parentNumber: 4,
    children: [],
  }

  test.each([
    [65_532, 1],
    [65_533, 8],
  ])('for a listing of %i bytes have type %i', (sizeBytes, type) => {
    const table = new InodeTable(compressor)
    table.addDirectory(directory, 4, { place: { block: 1, offset: 2 }, sizeBytes, index: [] })
    const inode = uncompressed(table.finish())
    expect(BASE_INODE_LAYOUT.decode(inode).type).toBe(type)
    if (type === 8)
      expect(EXTENDED_DIRECTORY_INODE.decode(inode)).toMatchObject({
        listingBytes: sizeBytes + 3,
        listingBlock: 1,
        listingOffset: 2,
        parentInode: 4,
      })
  })
})
