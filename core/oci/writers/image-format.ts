// What every image format offers to the build. A layer's contents are taken in once, as they come by, into a segment: a
// file of their own whose data can stand anywhere in an image. An image is the data of its layers' segments, copied,
// plus metadata for the merged tree.

import type { FileHandle } from 'node:fs/promises'
import type { DirectoryNode } from '../merge/tree.ts'

/** Takes in the contents of a layer's files, one after the other. */
export interface ContentSink {
  /** Begins the content of the layer's entry `ordinal`, a file of `sizeBytes` (more than 0). */
  beginFile(ordinal: number, sizeBytes: number): void
  /** The next bytes of the file. The chunk must not be changed afterwards: it is used without copying. */
  write(chunk: Buffer): void
  /** A run of zeros in the file. */
  writeHole(sizeBytes: number): void
  /** Ends the file; it must have got exactly its size. */
  endFile(): void
  /** Resolves when more may be written (back-pressure); rejects when compressing or writing has failed. */
  ready(): Promise<void>
}

/** Writes the data of one segment: from offset `SEGMENT_DATA_OFFSET` of the file on. The same calls make the same bytes. */
export interface SegmentWriter extends ContentSink {
  /** Writes what is left. Resolves with where the data ends and the table that says where each content is. */
  finish(): Promise<{ readonly dataEnd: number; readonly table: Buffer }>
  /** Releases what the writer holds, finished or not; nothing is written afterwards. The file is the caller's. */
  close(): Promise<void>
}

/** Before the data of a segment: room for what an image begins with. */
export const SEGMENT_DATA_OFFSET = 4096

/** A finished segment, open for reading. */
export interface OpenSegment {
  readonly file: FileHandle
  readonly dataEnd: number
  /** As `SegmentWriter.finish` gave it. */
  readonly table: Buffer
}

export interface WriteImageOptions {
  /** An empty file, open for reading and writing. */
  readonly file: FileHandle
  /** The merged tree; a file's `layer` is the position of its segment. */
  readonly root: DirectoryNode
  /** Bottom first; one for each layer. */
  readonly segments: readonly OpenSegment[]
  readonly signal?: AbortSignal | undefined
  /** Told the bytes copied and to be copied. */
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined
}

export interface WrittenImage {
  /** Size of the image file. */
  readonly sizeBytes: number
  /** File system objects; hard links count once. */
  readonly inodeCount: number
}

export interface ImageFormat {
  readonly name: 'squashfs' | 'erofs'
  /** Names the bytes that are written of the same layers: part of the names of segments and images. */
  readonly version: string
  /**
   * How large a segment, and an image, is for each byte of compressed layers, about: to know before a pull whether it fits.
   * The image that `bench/image` measures has 182 MB of gzip layers, and 475 MB of tar.
   */
  readonly bytesPerLayerByte: number
  /** Begins a segment in an empty file that is open for reading and writing. */
  openSegment(file: FileHandle): SegmentWriter
  /** Writes a whole image; not synced. The same segments and tree make the same bytes. Contents that are equal are stored once, also across segments. */
  writeImage(options: WriteImageOptions): Promise<WrittenImage>
  /** Looks at a written image the way a kernel begins to. Throws `oci.internal`. */
  check(file: FileHandle, sizeBytes: number): Promise<void>
}
