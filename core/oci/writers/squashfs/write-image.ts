// Writes a squashfs 4.0 image with zstd: the live contents of the segments, then inodes, listings and tables for the tree,
// and the superblock last of all. The same tree and segments always make the same bytes.

import { NONE_64 } from '../binary-layout.ts'
import { copyExtents } from '../copy-extents.ts'
import { SEGMENT_DATA_OFFSET, type WriteImageOptions, type WrittenImage } from '../image-format.ts'
import type { BlockCompressor } from './block-compressor.ts'
import {
  BLOCK_BYTES,
  BLOCK_LOG,
  COMPRESSION_ZSTD,
  FLAG_DUPLICATES,
  FLAG_EXPORTABLE,
  FLAG_NO_FRAGMENTS,
  FLAG_NO_XATTRS,
  FRAGMENT_ENTRY,
  IMAGE_ALIGNMENT_BYTES,
  packReference,
  SQUASHFS_MAGIC,
  SUPERBLOCK,
  XATTR_ID_TABLE,
} from './format.ts'
import { ImageOutput } from './image-output.ts'
import { planImage } from './image-plan.ts'
import { MetadataTable } from './metadata-table.ts'
import { numberNodes } from './node-numbering.ts'
import type { StoredBlock } from './segment-table.ts'
import { type WrittenTree, writeTree } from './tree-writer.ts'

/** Writes an image; see `ImageFormat.writeImage`. Throws `oci.limit`, `oci.cancelled`, or the system's error. */
export async function writeSquashfsImage(
  { file, root, segments, signal, onProgress }: WriteImageOptions,
  compressor: BlockCompressor,
): Promise<WrittenImage> {
  const { extents, fragments, contentOf } = await planImage(root, segments, signal)
  const numbering = numberNodes(root)
  // The tree is written in memory while the contents are copied.
  const failure = new AbortController()
  const copySignal = signal === undefined ? failure.signal : AbortSignal.any([signal, failure.signal])
  const copying = copyExtents({
    extents,
    target: file,
    position: SEGMENT_DATA_OFFSET,
    signal: copySignal,
    onProgress,
  })
  const writing = writeTree(numbering, { compressor, contentOf, signal: copySignal })
  const [dataEnd, tree] = await bothOrNone(copying, writing, failure)
  const output = new ImageOutput(file, dataEnd)
  const tables = await new TableWriter(output, compressor).write(tree, fragments)
  const bytesUsed = output.position
  const padding = (IMAGE_ALIGNMENT_BYTES - (bytesUsed % IMAGE_ALIGNMENT_BYTES)) % IMAGE_ALIGNMENT_BYTES
  await output.append(Buffer.alloc(padding))
  const superblock = SUPERBLOCK.encode({
    magic: SQUASHFS_MAGIC,
    inodeCount: numbering.inodeCount,
    modificationTime: 0,
    blockBytes: BLOCK_BYTES,
    fragmentCount: fragments.length,
    compression: COMPRESSION_ZSTD,
    blockLog: BLOCK_LOG,
    flags:
      FLAG_DUPLICATES |
      FLAG_EXPORTABLE |
      (fragments.length === 0 ? FLAG_NO_FRAGMENTS : 0) |
      (tree.inodes.xattrs.count === 0 ? FLAG_NO_XATTRS : 0),
    idCount: tree.inodes.ids.count,
    versionMajor: 4,
    versionMinor: 0,
    rootInode: packReference(tree.root),
    bytesUsed,
    ...tables,
  })
  const reserved = Buffer.concat([superblock, Buffer.alloc(SEGMENT_DATA_OFFSET - superblock.length)])
  await output.complete(reserved)
  return { sizeBytes: bytesUsed + padding, inodeCount: numbering.inodeCount }
}

/** Waits for both; when one fails, the other is told and waited for, so that nothing goes on behind the caller's back. */
async function bothOrNone<One, Other>(
  one: Promise<One>,
  other: Promise<Other>,
  failure: AbortController,
): Promise<[One, Other]> {
  try {
    return await Promise.all([one, other])
  } catch (error) {
    failure.abort(error)
    await Promise.allSettled([one, other])
    throw error
  }
}

/** Writes all tables in the order that the kernel checks (fs/squashfs/super.c). */
class TableWriter {
  readonly #output: ImageOutput
  readonly #compressor: BlockCompressor

  constructor(output: ImageOutput, compressor: BlockCompressor) {
    this.#output = output
    this.#compressor = compressor
  }

  /** Returns where the tables begin. */
  async write({ inodes, directories, references }: WrittenTree, fragments: readonly StoredBlock[]) {
    const inodeTable = await this.#append(inodes.finish())
    const directoryTable = await this.#append(directories.finish())
    const fragmentTable =
      fragments.length === 0 ? NONE_64 : await this.#writeLookupTable(fragmentEntries(fragments))
    const exportEntries = Buffer.alloc(8 * references.length)
    references.forEach((reference, index) => {
      exportEntries.writeBigUInt64LE(BigInt(reference), 8 * index)
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

function fragmentEntries(fragments: readonly StoredBlock[]): Buffer {
  const bytes = Buffer.alloc(fragments.length * FRAGMENT_ENTRY.sizeBytes)
  let offset = 0
  for (const place of fragments) offset = FRAGMENT_ENTRY.encodeInto(bytes, offset, { ...place, unused: 0 })
  return bytes
}
