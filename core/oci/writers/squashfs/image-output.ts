// The image file, written from front to back in large pieces, with a way back for what proves to be there already.

import type { FileHandle } from 'node:fs/promises'

/** How much is collected before it is written. */
const WRITE_BYTES = 1024 * 1024
const COMPARE_BYTES = 256 * 1024

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

  /** Whether `length` bytes at two places of the file are the same. */
  async areSame(first: number, second: number, length: number): Promise<boolean> {
    await this.flush()
    const one = Buffer.allocUnsafe(Math.min(length, COMPARE_BYTES))
    const other = Buffer.allocUnsafe(one.length)
    for (let offset = 0; offset < length; offset += one.length) {
      const size = Math.min(one.length, length - offset)
      await this.#readFully(one.subarray(0, size), first + offset)
      await this.#readFully(other.subarray(0, size), second + offset)
      if (!one.subarray(0, size).equals(other.subarray(0, size))) return false
    }
    return true
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

  async #readFully(target: Buffer, position: number): Promise<void> {
    for (let offset = 0; offset < target.length; ) {
      const { bytesRead } = await this.#file.read(target, offset, target.length - offset, position + offset)
      if (bytesRead === 0) throw new Error(`the image file ends at ${position + offset}`)
      offset += bytesRead
    }
  }
}
