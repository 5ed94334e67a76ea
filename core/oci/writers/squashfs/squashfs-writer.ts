// Writes squashfs 4.0 images with zstd: file contents as they come, then inodes, listings and tables, and the superblock
// last of all. The same calls always make the same bytes.

import type { FileHandle } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import type { DirectoryNode, FileNode } from '../../merge/tree.ts'
import { NONE_64 } from '../binary-layout.ts'
import type { ContentId, ImageWriter, WrittenImage } from '../image-writer.ts'
import { BlockBuffers } from './block-buffers.ts'
import { BlockCompressor } from './block-compressor.ts'
import { BlockQueue } from './block-queue.ts'
import { ContentWriter } from './content-writer.ts'
import { DuplicateRuns } from './duplicate-runs.ts'
import {
  BLOCK_BYTES,
  BLOCK_LOG,
  COMPRESSION_ZSTD,
  FLAG_DUPLICATES,
  FLAG_EXPORTABLE,
  FLAG_NO_FRAGMENTS,
  FLAG_NO_XATTRS,
  IMAGE_ALIGNMENT_BYTES,
  packReference,
  SQUASHFS_MAGIC,
  SUPERBLOCK,
  XATTR_ID_TABLE,
} from './format.ts'
import { FragmentPacker } from './fragment-packer.ts'
import { ImageOutput } from './image-output.ts'
import { MetadataTable } from './metadata-table.ts'
import { numberNodes } from './node-numbering.ts'
import { emptyContent, type StoredContent } from './stored-content.ts'
import { type WrittenTree, writeTree } from './tree-writer.ts'

/** Level 1 is the fastest and only 6 % larger than level 3; readers do not feel the difference. */
export const DEFAULT_COMPRESSION_LEVEL = 1
/** Blocks on their way for each one that is being compressed. */
const BLOCKS_PER_LANE = 6

export class SquashfsWriter implements ImageWriter {
  readonly #output: ImageOutput
  readonly #compressor: BlockCompressor
  readonly #queue: BlockQueue
  readonly #fragments: FragmentPacker
  readonly #writer: ContentWriter
  readonly #contents: StoredContent[] = []

  /** Writes to an empty file that is open for reading and writing. */
  constructor(file: FileHandle, compressionLevel = DEFAULT_COMPRESSION_LEVEL) {
    const laneCount = compressionLanes()
    const buffers = new BlockBuffers()
    this.#output = new ImageOutput(file, SUPERBLOCK.sizeBytes)
    this.#compressor = new BlockCompressor(compressionLevel, laneCount)
    this.#queue = new BlockQueue(this.#compressor, this.#output, laneCount * BLOCKS_PER_LANE * BLOCK_BYTES)
    this.#fragments = new FragmentPacker(this.#queue, buffers)
    this.#writer = new ContentWriter({
      queue: this.#queue,
      fragments: this.#fragments,
      duplicates: new DuplicateRuns(this.#output),
      buffers,
      output: this.#output,
    })
  }

  beginFile(sizeBytes: number): ContentId {
    return (this.#contents.push(this.#writer.begin(sizeBytes)) - 1) as ContentId
  }

  write(chunk: Buffer): void {
    this.#writer.write(chunk)
  }

  writeHole(sizeBytes: number): void {
    this.#writer.writeHole(sizeBytes)
  }

  endFile(): void {
    this.#writer.end()
  }

  ready(): Promise<void> {
    return this.#queue.ready()
  }

  async close(): Promise<void> {
    this.#compressor.close()
    await this.#queue.stop()
  }

  async finish(root: DirectoryNode, contentOf: (file: FileNode) => ContentId): Promise<WrittenImage> {
    this.#fragments.flush()
    await this.#queue.drain()
    const numbering = numberNodes(root)
    const tree = writeTree(numbering, this.#compressor, (file) =>
      file.sizeBytes === 0 ? emptyContent(0) : this.#content(contentOf(file)),
    )
    const tables = await this.#writeTables(tree)
    const bytesUsed = this.#output.position
    const padding = (IMAGE_ALIGNMENT_BYTES - (bytesUsed % IMAGE_ALIGNMENT_BYTES)) % IMAGE_ALIGNMENT_BYTES
    await this.#output.append(Buffer.alloc(padding))
    const superblock = SUPERBLOCK.encode({
      magic: SQUASHFS_MAGIC,
      inodeCount: numbering.inodeCount,
      modificationTime: 0,
      blockBytes: BLOCK_BYTES,
      fragmentCount: this.#fragments.count,
      compression: COMPRESSION_ZSTD,
      blockLog: BLOCK_LOG,
      flags:
        FLAG_DUPLICATES |
        FLAG_EXPORTABLE |
        (this.#fragments.count === 0 ? FLAG_NO_FRAGMENTS : 0) |
        (tree.inodes.xattrs.count === 0 ? FLAG_NO_XATTRS : 0),
      idCount: tree.inodes.ids.count,
      versionMajor: 4,
      versionMinor: 0,
      rootInode: packReference(tree.root),
      bytesUsed,
      ...tables,
    })
    await this.#output.complete(superblock)
    return { sizeBytes: bytesUsed + padding, inodeCount: numbering.inodeCount }
  }

  #content(id: ContentId): StoredContent {
    const content = this.#contents[id]
    if (content === undefined) throw new Error(`no content has the id ${id}`)
    return content
  }

  /** Writes all tables in the order that the kernel checks (fs/squashfs/super.c); returns where they begin. */
  async #writeTables({ inodes, directories, references }: WrittenTree) {
    const inodeTable = await this.#append(inodes.finish())
    const directoryTable = await this.#append(directories.finish())
    const fragmentTable =
      this.#fragments.count === 0 ? NONE_64 : await this.#writeLookupTable(this.#fragments.table())
    const exportEntries = Buffer.alloc(8 * references.length)
    references.forEach((reference, index) => {
      exportEntries.writeBigUInt64LE(BigInt(packReference(reference)), 8 * index)
    })
    const exportTable = await this.#writeLookupTable(exportEntries)
    const idTable = await this.#writeLookupTable(inodes.ids.table())
    const xattrTable = inodes.xattrs.count === 0 ? NONE_64 : await this.#writeXattrs(inodes)
    return { inodeTable, directoryTable, fragmentTable, exportTable, idTable, xattrTable }
  }

  async #writeXattrs({ xattrs }: WrittenTree['inodes']): Promise<number> {
    const xattrTable = await this.#append(xattrs.finishPairs())
    const locations = await this.#writeMetadata(xattrs.ids())
    const head = XATTR_ID_TABLE.encode({ xattrTable, idCount: xattrs.count, unused: 0 })
    return this.#append(Buffer.concat([head, locations]))
  }

  /** Metadata blocks, then the list of their places; the superblock points at the list. */
  async #writeLookupTable(entries: Buffer): Promise<number> {
    return this.#append(await this.#writeMetadata(entries))
  }

  /** Writes entries as metadata blocks; returns the list of the blocks' places. */
  async #writeMetadata(entries: Buffer): Promise<Buffer> {
    const table = new MetadataTable(this.#compressor)
    table.append(entries)
    const start = await this.#append(table.finish())
    const locations = Buffer.alloc(8 * table.blockStarts.length)
    table.blockStarts.forEach((blockStart, index) => {
      locations.writeBigUInt64LE(BigInt(start + blockStart), 8 * index)
    })
    return locations
  }

  async #append(bytes: Buffer): Promise<number> {
    const start = this.#output.position
    await this.#output.append(bytes)
    return start
  }
}

/** One thread of libuv's pool is left for decompressing the layer; more lanes than processors bring nothing. */
function compressionLanes(): number {
  const poolThreads = Number(process.env.UV_THREADPOOL_SIZE) || 4
  return Math.max(1, Math.min(poolThreads - 1, availableParallelism() + 1))
}
