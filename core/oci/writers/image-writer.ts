// What every image format's writer offers to the build: contents first, in whatever order they come by, then the tree.

import type { DirectoryNode, FileNode } from '../merge/tree.ts'

/** Names a content that a writer has taken in; means something to that writer only. */
export type ContentId = number & { readonly brand: 'ContentId' }

export interface WrittenImage {
  /** Size of the image file. */
  readonly sizeBytes: number
  /** File system objects; hard links count once. */
  readonly inodeCount: number
}

export interface ImageWriter {
  /** Begins the content of a file of `sizeBytes`; one file at a time. */
  beginFile(sizeBytes: number): ContentId
  /** The next bytes of the file. The chunk must not be changed afterwards: it is used without copying. */
  write(chunk: Buffer): void
  /** A run of zeros in the file. */
  writeHole(sizeBytes: number): void
  /** Ends the file; it must have got exactly its size. */
  endFile(): void
  /** Resolves when more may be written (back-pressure); rejects when compressing or writing has failed. */
  ready(): Promise<void>
  /** Writes all that is left: the image is complete, but not yet synced to the disk. */
  finish(root: DirectoryNode, contentOf: (file: FileNode) => ContentId): Promise<WrittenImage>
  /** Releases what the writer holds, finished or not; nothing is written afterwards. The file is the caller's. */
  close(): Promise<void>
}
