// Buffers of one block each, used again: allocating 128 KiB for every block keeps the garbage collector busy.

import { BLOCK_BYTES } from './format.ts'

export class BlockBuffers {
  readonly #free: Buffer[] = []

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  give(buffer: Buffer): void {
    this.#free.push(buffer)
  }
}
