// Pieces of a blob that came before what is in front of them: each a file of its own in `ingest/`, until the beginning of
// the blob has grown to where it starts.

import { constants, type FileHandle, open, rm } from 'node:fs/promises'
import type { Digest } from '../digest.ts'
import { writeFully } from '../file-bytes.ts'
import { listParts, partPath } from './part-files.ts'

export interface Piece {
  readonly start: number
  /** Behind its last byte. */
  readonly end: number
}

interface PieceFile {
  readonly path: string
  readonly start: number
  end: number
  /** Open while it grows. */
  handle: FileHandle | undefined
}

const READ_BYTES = 1024 * 1024

export class BlobPieces implements AsyncDisposable {
  readonly #folder: string
  readonly #digest: Digest
  readonly #files: Set<PieceFile>

  private constructor(folder: string, digest: Digest, files: Set<PieceFile>) {
    this.#folder = folder
    this.#digest = digest
    this.#files = files
  }

  /** The pieces that earlier tries left of a blob. */
  static async open(folder: string, digest: Digest): Promise<BlobPieces> {
    const files = new Set<PieceFile>()
    for (const { path, start, sizeBytes } of await listParts(folder, digest)) {
      if (start > 0) files.add({ path, start, end: start + sizeBytes, handle: undefined })
    }
    return new BlobPieces(folder, digest, files)
  }

  /** In the order of their places. */
  get all(): readonly Piece[] {
    return [...this.#files].sort((one, other) => one.start - other.start)
  }

  /** How many bytes of them lie behind `offset`. */
  bytesBehind(offset: number): number {
    return this.#files
      .values()
      .reduce((sum, { start, end }) => sum + Math.max(0, end - Math.max(start, offset)), 0)
  }

  /** Adds bytes to the piece that ends at `offset`, or begins one there. */
  async append(offset: number, bytes: Uint8Array): Promise<void> {
    const file = this.#files.values().find(({ end }) => end === offset) ?? this.#begin(offset)
    file.handle ??= await open(file.path, OPEN_TO_WRITE, 0o600)
    await writeFully(file.handle, bytes, offset - file.start)
    file.end += bytes.length
  }

  /** The bytes from `offset` on of the piece that holds them, if one does. */
  async *read(offset: number): AsyncGenerator<Buffer, void, void> {
    const file = this.#files.values().find(({ start, end }) => start <= offset && offset < end)
    if (file === undefined) return
    await using handle = await open(file.path, constants.O_RDONLY | constants.O_NOFOLLOW)
    for (let position = offset; position < file.end; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, file.end - position))
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, position - file.start)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
      position += bytesRead
    }
  }

  /** Removes the pieces that end at `offset` or before: the beginning of the blob has them now. */
  async removeUpTo(offset: number): Promise<void> {
    for (const file of this.#files) if (file.end <= offset) await this.#remove(file)
  }

  /** Removes all pieces. */
  async clear(): Promise<void> {
    for (const file of this.#files) await this.#remove(file)
  }

  /** Closes the files; the pieces stay for the next try. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files) await this.#close(file)
  }

  #begin(offset: number): PieceFile {
    const path = partPath(this.#folder, this.#digest, offset)
    const file = { path, start: offset, end: offset, handle: undefined }
    this.#files.add(file)
    return file
  }

  async #remove(file: PieceFile): Promise<void> {
    await this.#close(file)
    this.#files.delete(file)
    await rm(file.path, { force: true })
  }

  async #close(file: PieceFile): Promise<void> {
    const { handle } = file
    file.handle = undefined
    await handle?.close()
  }
}

/** For files in `ingest/`: they are ours, so a link of that name is none of them. */
export const OPEN_TO_WRITE = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
