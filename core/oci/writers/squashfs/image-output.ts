// The image file, written from front to back in large pieces, with a way back for what proves to be there already.

import type { FileHandle } from 'node:fs/promises'
import { areSameBytes } from '../copy-extents.ts'

/** How much is collected before it is written. */
const WRITE_BYTES = 1024 * 1024

export class ImageOutput {
  readonly #file: FileHandle
  #collected: Buffer[] = []
  #collectedBytes = 0
  /** Where the collected bytes go. */
  #written: number

  constructor(file: FileHandle, startBytes: number) {
    this.#file = file
    this.#written = startBytes
  }

  /** Where the next byte goes. */
  get position(): number {
    return this.#written + this.#collectedBytes
  }

  /** Appends bytes; they must not be changed before `flush` has resolved. */
  async append(bytes: Buffer): Promise<void> {
    this.#collected.push(bytes)
    this.#collectedBytes += bytes.length
    if (this.#collectedBytes >= WRITE_BYTES) await this.flush()
  }

  async flush(): Promise<void> {
    let buffers = this.#collected
    let left = this.#collectedBytes
    let position = this.#written
    this.#collected = []
    this.#collectedBytes = 0
    this.#written += left
    while (left > 0) {
      const { bytesWritten } = await this.#file.writev(buffers, position)
      left -= bytesWritten
      position += bytesWritten
      if (left > 0) buffers = [Buffer.concat(buffers).subarray(bytesWritten)]
    }
  }

  /** Whether `sizeBytes` at two places of the file are the same. */
  async areSame(first: number, second: number, sizeBytes: number): Promise<boolean> {
    await this.flush()
    const file = this.#file
    return areSameBytes({ file, start: first, sizeBytes }, { file, start: second, sizeBytes })
  }

  /** Takes back all from `position` on; it is written over by what comes next. */
  async rewind(position: number): Promise<void> {
    await this.flush()
    this.#written = position
  }

  /** Ends the file at the current position and puts `head` at its start. */
  async complete(head: Buffer): Promise<void> {
    await this.flush()
    await this.#file.truncate(this.#written)
    await this.#file.write(head, 0, head.length, 0)
  }
}
