// Takes the bytes of one blob into the store: hashed and counted as they come, and given their place under `blobs/` only
// when both size and digest are right. Until then they lie in `ingest/` (part-files.ts), and stay there when the work is
// broken off: the next writer of the same blob hashes what is there and goes on behind it.

import { type FileHandle, open, rm } from 'node:fs/promises'
import { commitFile } from '../../durable-file.ts'
import { type Digest, Digester, digestAlgorithm, requireSameDigest } from '../digest.ts'
import { fromDiskError, OciError, throwIfCancelled } from '../errors.ts'
import { writeFully } from '../file-bytes.ts'
import { LIMITS } from '../limits.ts'
import type { BlobFeed } from './blob-feed.ts'
import { BlobPieces, OPEN_TO_WRITE, type Piece } from './blob-pieces.ts'
import { partPath } from './part-files.ts'

export interface BlobWriterOptions {
  /** Names the blob in errors, e.g. `layer sha256:…`. */
  readonly what: string
  readonly digest: Digest
  readonly size: number
  /** `ingest/`. */
  readonly folder: string
  /** The blob's place under `blobs/`. */
  readonly final: string
  /** Told what others may read. */
  readonly feed: BlobFeed
  readonly signal?: AbortSignal | undefined
  /** Told the bytes that are here, in order or not, after each write. */
  readonly onProgress?: ((sizeBytes: number) => void) | undefined
}

const READ_BYTES = 1024 * 1024

export class BlobWriter implements AsyncDisposable {
  readonly #options: BlobWriterOptions
  readonly #part: string
  readonly #handle: FileHandle
  readonly #pieces: BlobPieces
  #digester: Digester
  #sizeBytes = 0
  /** What there is is worth nothing to the next writer. */
  #isSpoiled = false
  #isCommitted = false
  /** Writes happen one after the other, from however many connections they come. */
  #lastWrite: Promise<unknown> = Promise.resolve()

  private constructor(options: BlobWriterOptions, handle: FileHandle, pieces: BlobPieces) {
    this.#options = options
    this.#part = partPath(options.folder, options.digest)
    this.#handle = handle
    this.#pieces = pieces
    this.#digester = new Digester(digestAlgorithm(options.digest))
  }

  /** Begins a blob, or goes on with one: what an earlier try left is hashed first. */
  static async open(options: BlobWriterOptions): Promise<BlobWriter> {
    if (options.size > LIMITS.blobBytes) throw tooLarge(options.what)
    const { folder, digest } = options
    const pieces = await BlobPieces.open(folder, digest)
    const handle = await open(partPath(folder, digest), OPEN_TO_WRITE, 0o600)
    const writer = new BlobWriter(options, handle, pieces)
    try {
      await writer.#takeUp()
      return writer
    } catch (error) {
      await writer[Symbol.asyncDispose]()
      throw error
    }
  }

  get what(): string {
    return this.#options.what
  }

  /** Bytes that are here without a gap from the beginning on, hashed. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Bytes that are here, in order or not. */
  get receivedBytes(): number {
    return this.#sizeBytes + this.#pieces.bytesBehind(this.#sizeBytes)
  }

  get isComplete(): boolean {
    return this.#sizeBytes === this.#options.size
  }

  /** What is still to come, in the order of its places. */
  get missing(): readonly Piece[] {
    const gaps: Piece[] = []
    let position = this.#sizeBytes
    for (const { start, end } of [
      ...this.#pieces.all,
      { start: this.#options.size, end: this.#options.size },
    ]) {
      if (start > position) gaps.push({ start: position, end: start })
      position = Math.max(position, end)
    }
    return gaps
  }

  /** Appends bytes. Throws `oci.size-mismatch` as soon as there are more than there may be, `oci.no-space`. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#inTurn(() => this.#append(bytes))
  }

  /**
   * Takes bytes that belong at `offset`, which may be ahead of what is missing before. What is here already is not
   * taken again. Throws like `write`.
   */
  async writeAt(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#inTurn(async () => {
      if (offset > this.#sizeBytes) {
        if (offset + bytes.length > this.#options.size) throw this.#tooLong()
        await this.#pieces.append(offset, bytes)
        this.#report()
      } else if (offset + bytes.length > this.#sizeBytes) {
        await this.#append(bytes.subarray(this.#sizeBytes - offset))
        await this.#absorbPieces()
      }
    })
  }

  /** Forgets the bytes taken so far: the source starts again at the beginning. */
  async restart(): Promise<void> {
    await this.#inTurn(async () => {
      this.#options.feed.restart()
      await this.#pieces.clear()
      await this.#handle.truncate(0)
      this.#digester = new Digester(digestAlgorithm(this.#options.digest))
      this.#sizeBytes = 0
      this.#isSpoiled = false
      this.#report()
    })
  }

  /** Checks size and digest and gives the blob its place. Throws `oci.size-mismatch`, `oci.digest-mismatch`. */
  async commit(): Promise<void> {
    const { what, digest, size, final } = this.#options
    if (!this.isComplete) {
      throw new OciError(
        'oci.size-mismatch',
        `Cannot accept ${what}: it ended after ${this.#sizeBytes} of ${size} bytes`,
      )
    }
    // Careful: until the place is taken the bytes are spoiled: a wrong digest must not be found again by the next try.
    this.#isSpoiled = true
    requireSameDigest(what, digest, this.#digester.finish())
    try {
      await commitFile(this.#handle, this.#part, final, 0o444)
    } catch (error) {
      throw fromDiskError(`store ${what}`, error)
    }
    this.#isCommitted = true
    this.#options.feed.complete()
  }

  /** Closes the files. What was not committed stays for the next try, unless it is known to be worth nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lastWrite
    const isWorthNothing = this.#isSpoiled || (this.#sizeBytes === 0 && this.#pieces.all.length === 0)
    if (this.#isCommitted || isWorthNothing) await this.#pieces.clear()
    await this.#pieces[Symbol.asyncDispose]()
    await this.#handle.close()
    if (!this.#isCommitted && isWorthNothing) await rm(this.#part, { force: true })
  }

  /** Hashes what earlier tries left. */
  async #takeUp(): Promise<void> {
    const { size, what, signal } = this.#options
    if ((await this.#handle.stat()).size > size) await this.#handle.truncate(0)
    for (;;) {
      throwIfCancelled(signal, `fetch ${what}`)
      const buffer = Buffer.allocUnsafe(READ_BYTES)
      const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#sizeBytes)
      if (bytesRead === 0) break
      this.#count(buffer.subarray(0, bytesRead))
    }
    const last = this.#pieces.all.at(-1)
    if (last !== undefined && last.end > size) await this.#pieces.clear()
    await this.#absorbPieces()
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#sizeBytes + bytes.length > this.#options.size) throw this.#tooLong()
    await writeFully(this.#handle, bytes, this.#sizeBytes)
    this.#count(bytes)
  }

  #count(bytes: Uint8Array): void {
    this.#digester.update(bytes)
    this.#sizeBytes += bytes.length
    this.#options.feed.advance(this.#sizeBytes)
    this.#report()
  }

  /** Moves pieces whose turn has come behind the beginning of the blob. */
  async #absorbPieces(): Promise<void> {
    let before: number
    do {
      before = this.#sizeBytes
      for await (const bytes of this.#pieces.read(this.#sizeBytes)) await this.#append(bytes)
      await this.#pieces.removeUpTo(this.#sizeBytes)
    } while (this.#sizeBytes > before)
  }

  #report(): void {
    this.#options.onProgress?.(this.receivedBytes)
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#lastWrite.then(work).catch((error: unknown) => {
      throw this.#explain(error)
    })
    this.#lastWrite = turn.catch(() => {})
    return turn
  }

  /** A full disk is given back what was taken of it: others on this machine need it too. */
  #explain(error: unknown): unknown {
    const explained = fromDiskError(`store ${this.what}`, error)
    if (explained !== error) this.#isSpoiled = true
    return explained
  }

  #tooLong(): OciError {
    this.#isSpoiled = true
    const { what, size } = this.#options
    return new OciError(
      'oci.size-mismatch',
      `Cannot accept ${what}: it has more than the ${size} bytes announced`,
    )
  }
}

function tooLarge(what: string): OciError {
  return new OciError('oci.limit', `Cannot accept ${what}: it is larger than ${LIMITS.blobBytes} bytes`, {
    data: { which: 'blobBytes' },
  })
}
