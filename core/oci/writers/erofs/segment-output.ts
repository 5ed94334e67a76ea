// The data of a segment on its way to the disk: appended at once, written behind the caller's back in large pieces, with
// a way back for a content that proves to be there already.

import type { FileHandle } from 'node:fs/promises'

/** How much is collected before it is written. */
const WRITE_BYTES = 1024 * 1024
/** More than this must not wait to be written. */
const WAITING_BYTES = 8 * WRITE_BYTES
/** Smaller pieces are copied together, so that they do not keep the large chunks alive that they were cut from. */
const KEPT_BYTES = 64 * 1024

export class SegmentOutput {
  readonly #file: FileHandle
  /** Where the first of the waiting bytes goes. */
  #start: number
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** The last of `#waiting`, if it still has room. */
  #room = Buffer.alloc(0)
  #writing: Promise<void> | undefined
  #failure: unknown

  constructor(file: FileHandle, start: number) {
    this.#file = file
    this.#start = start
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#start + this.#waitingBytes
  }

  /** Appends bytes; they must not be changed afterwards. */
  append(bytes: Buffer): void {
    if (bytes.length >= KEPT_BYTES) {
      this.#push(bytes)
      this.#room = Buffer.alloc(0)
    } else if (bytes.length > 0) {
      this.#appendCopy(bytes)
    }
    if (this.#waitingBytes >= WRITE_BYTES) this.#writeOn()
  }

  /** Takes back all from `position` on; it is written over by what comes next. */
  rewind(position: number): void {
    while (this.position > position) {
      const last = this.#waiting.pop()
      if (last === undefined) {
        this.#start = position
        return
      }
      this.#waitingBytes -= last.length
      this.#room = Buffer.alloc(0)
      const kept = position - this.position
      if (kept > 0) this.#push(last.subarray(0, kept))
    }
  }

  /** Resolves when more may be appended; rejects when writing has failed. */
  async ready(): Promise<void> {
    while (this.#waitingBytes > WAITING_BYTES) await this.#progress()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when everything is written. */
  async flush(): Promise<void> {
    while (this.#waitingBytes > 0 || this.#writing !== undefined) await this.#progress()
  }

  /** Resolves when nothing is being written any more, however it ended. */
  async settle(): Promise<void> {
    this.#waiting = []
    this.#waitingBytes = 0
    await this.#writing
  }

  async #progress(): Promise<void> {
    this.#writeOn()
    await this.#writing
    if (this.#failure !== undefined) throw this.#failure
  }

  #appendCopy(bytes: Buffer): void {
    let copied = 0
    while (copied < bytes.length) {
      if (this.#room.length === 0) this.#room = Buffer.allocUnsafe(2 * KEPT_BYTES)
      const length = Math.min(this.#room.length, bytes.length - copied)
      bytes.copy(this.#room, 0, copied, copied + length)
      this.#push(this.#room.subarray(0, length))
      this.#room = this.#room.subarray(length)
      copied += length
    }
  }

  #push(bytes: Buffer): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  /** Begins to write what waits, unless something is being written: one write at a time keeps their order. */
  #writeOn(): void {
    if (this.#writing !== undefined || this.#waitingBytes === 0 || this.#failure !== undefined) return
    const buffers = this.#waiting
    const start = this.#start
    this.#start += this.#waitingBytes
    this.#waiting = []
    this.#waitingBytes = 0
    this.#room = Buffer.alloc(0)
    this.#writing = writeAll(this.#file, buffers, start)
      .catch((error: unknown) => {
        this.#failure = error
      })
      .finally(() => {
        this.#writing = undefined
      })
  }
}

async function writeAll(file: FileHandle, buffers: Buffer[], start: number): Promise<void> {
  let rest = buffers
  let position = start
  let left = buffers.reduce((sum, { length }) => sum + length, 0)
  while (left > 0) {
    const { bytesWritten } = await file.writev(rest, position)
    left -= bytesWritten
    position += bytesWritten
    if (left > 0) rest = [Buffer.concat(rest).subarray(bytesWritten)]
  }
}
