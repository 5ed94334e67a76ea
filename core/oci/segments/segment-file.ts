// A segment file: what one layer gives to images of one format. 4096 reserved bytes, the data, the layer's index, the
// format's table of contents, and a trailer that proves that all of it is there and belongs to this layer and format.
// A file that is not whole is as good as none: it is made again from the layer.

import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { Digest } from '../digest.ts'
import { readFully, writeFully } from '../file-bytes.ts'
import { openRegularFile } from '../open-regular-file.ts'
import { binaryLayout } from '../writers/binary-layout.ts'
import { type ImageFormat, type OpenSegment, SEGMENT_DATA_OFFSET } from '../writers/image-format.ts'

/** "BHsg" */
const MAGIC = 0x67734842
/** Of the file's outline and of the index; the format's own version is part of the identity. */
const VERSION = 1
const HASH_BYTES = 32

/** A SHA-256 follows: over the identity, the index, the table and these fields. */
const TRAILER = binaryLayout({
  magic: 'u32',
  version: 'u32',
  dataEnd: 'u64',
  indexBytes: 'u64',
  tableBytes: 'u64',
  tarBytes: 'u64',
  contentBytes: 'u64',
  entryCount: 'u32',
  unused: 'u32',
})
const TRAILER_BYTES = TRAILER.sizeBytes + HASH_BYTES

/** Sizes of a layer that are known when it has been read. */
export interface LayerFigures {
  readonly entryCount: number
  /** Size of the uncompressed tar. */
  readonly tarBytes: number
  /** Sum of the sizes of its files, with their holes. */
  readonly contentBytes: number
}

export interface SegmentParts extends LayerFigures {
  readonly dataEnd: number
  readonly index: Buffer
  readonly table: Buffer
}

/** A whole segment file, open for reading. */
export interface SegmentFile extends OpenSegment, LayerFigures {
  readonly index: Buffer
}

/** What a segment is of: part of what is hashed, so that a file under a wrong name is noticed. */
export interface SegmentIdentity {
  readonly format: Pick<ImageFormat, 'name' | 'version'>
  readonly diffId: Digest
}

/** Writes what follows the data of a segment; the file must end there afterwards, and is not synced. */
export async function completeSegment(
  file: FileHandle,
  identity: SegmentIdentity,
  { index, table, ...parts }: SegmentParts,
): Promise<void> {
  const fields = TRAILER.encode({
    ...parts,
    magic: MAGIC,
    version: VERSION,
    indexBytes: index.length,
    tableBytes: table.length,
    unused: 0,
  })
  const rest = [index, table, fields, hashOf(identity, [index, table, fields])]
  let position = parts.dataEnd
  for (const piece of rest) {
    await writeFully(file, piece, position)
    position += piece.length
  }
  await file.truncate(position)
}

/** Opens a segment file and checks all but its data; undefined when it is missing, damaged or of something else. */
export async function openSegment(path: string, identity: SegmentIdentity): Promise<SegmentFile | undefined> {
  const file = await openRegularFile(path)
  if (file === undefined) return undefined
  let segment: SegmentFile | undefined
  try {
    segment = await readSegment(file, identity)
  } finally {
    if (segment === undefined) await file.close()
  }
  return segment
}

/** What a segment file says of its layer, without the proof that it is whole; undefined when it is missing or broken. */
export async function readFigures(path: string): Promise<LayerFigures | undefined> {
  await using file = await openRegularFile(path)
  if (file === undefined) return undefined
  const trailer = await readTrailer(file)
  if (trailer === undefined) return undefined
  const { entryCount, tarBytes, contentBytes } = trailer.fields
  return { entryCount, tarBytes, contentBytes }
}

async function readSegment(file: FileHandle, identity: SegmentIdentity): Promise<SegmentFile | undefined> {
  const trailer = await readTrailer(file)
  if (trailer === undefined) return undefined
  const { dataEnd, indexBytes, tableBytes, entryCount, tarBytes, contentBytes } = trailer.fields
  const index = await readAt(file, dataEnd, indexBytes)
  const table = await readAt(file, dataEnd + indexBytes, tableBytes)
  if (!hashOf(identity, [index, table, trailer.fieldBytes]).equals(trailer.hash)) return undefined
  return { file, dataEnd, index, table, entryCount, tarBytes, contentBytes }
}

/** The trailer of a file whose size is what it says. */
async function readTrailer(file: FileHandle) {
  const { size } = await file.stat()
  if (size < SEGMENT_DATA_OFFSET + TRAILER_BYTES) return undefined
  const bytes = await readAt(file, size - TRAILER_BYTES, TRAILER_BYTES)
  const fieldBytes = bytes.subarray(0, TRAILER.sizeBytes)
  const fields = TRAILER.decode(fieldBytes)
  if (fields.magic !== MAGIC || fields.version !== VERSION) return undefined
  if (fields.dataEnd < SEGMENT_DATA_OFFSET || fields.indexBytes < 0 || fields.tableBytes < 0) return undefined
  if (fields.dataEnd + fields.indexBytes + fields.tableBytes + TRAILER_BYTES !== size) return undefined
  return { fields, fieldBytes, hash: bytes.subarray(TRAILER.sizeBytes) }
}

function hashOf({ format, diffId }: SegmentIdentity, pieces: readonly Buffer[]): Buffer {
  const hash = createHash('sha256').update(`${format.name} ${format.version}\n${diffId}\n`)
  for (const piece of pieces) hash.update(piece)
  return hash.digest()
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  await readFully(file, bytes, position)
  return bytes
}
