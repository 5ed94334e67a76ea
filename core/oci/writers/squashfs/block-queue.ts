// Compresses blocks in parallel and places them in the order in which they came, so that the same input always makes the
// same image, whichever thread is done first.

import type { BlockCompressor } from './block-compressor.ts'
import { BLOCK_UNCOMPRESSED } from './format.ts'
import type { ImageOutput } from './image-output.ts'

/** Told where a block went, and its size as the disk has it (with the flag for "not compressed"). */
export type Placed = (position: number, storedSize: number) => void

export class BlockQueue {
  readonly #compressor: BlockCompressor
  readonly #output: ImageOutput
  readonly #limitBytes: number
  readonly #steps: (() => Promise<void>)[] = []
  /** Settles when the steps that are there have been taken; null while there are none. */
  #running: Promise<void> | null = null
  #pendingBytes = 0
  #failure: { readonly error: unknown } | null = null
  #wakers: (() => void)[] = []

  /** No more than about `limitBytes` of blocks are on their way when `ready` resolves. */
  constructor(compressor: BlockCompressor, output: ImageOutput, limitBytes: number) {
    this.#compressor = compressor
    this.#output = output
    this.#limitBytes = limitBytes
  }

  /** Adds a block. `release` is called when its memory is no longer needed. */
  add(block: Buffer, placed: Placed, release?: () => void): void {
    this.#pendingBytes += block.length
    const compressing = this.#compressor.compress(block)
    // The failure is met again when the block's turn comes.
    compressing.catch(() => undefined)
    this.#steps.push(async () => {
      const frame = await compressing
      const isSmaller = frame.length < block.length
      placed(this.#output.position, isSmaller ? frame.length : block.length | BLOCK_UNCOMPRESSED)
      await this.#output.append(isSmaller ? frame : block)
      if (isSmaller) release?.()
      this.#pendingBytes -= block.length
    })
    this.#run()
  }

  /** Does something when all blocks before are placed, and before any later one is. */
  afterBlocks(step: () => Promise<void>): void {
    this.#steps.push(step)
    this.#run()
  }

  /** Resolves when more blocks are welcome. Rejects with the first failure. */
  async ready(): Promise<void> {
    await this.#until(() => this.#pendingBytes <= this.#limitBytes)
  }

  /** Resolves when all blocks are placed and on the file. Rejects with the first failure. */
  async drain(): Promise<void> {
    await this.#until(() => this.#running === null)
    await this.#output.flush()
  }

  /** Drops all that has not been placed, and resolves when nothing more is written. The compressor must be closed. */
  async stop(): Promise<void> {
    this.#failure ??= { error: new Error('the image is not written any further') }
    this.#steps.length = 0
    await this.#running
  }

  async #until(isMet: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error
      if (isMet()) return
      await new Promise<void>((resolve) => this.#wakers.push(resolve))
    }
  }

  #run(): void {
    if (this.#failure === null) this.#running ??= this.#runSteps()
  }

  async #runSteps(): Promise<void> {
    try {
      for (let step = this.#steps.shift(); step !== undefined; step = this.#steps.shift()) {
        await step()
        if (this.#pendingBytes <= this.#limitBytes) this.#wake()
      }
    } catch (error) {
      this.#failure = { error }
    } finally {
      this.#running = null
      this.#wake()
    }
  }

  #wake(): void {
    const wakers = this.#wakers
    this.#wakers = []
    for (const wake of wakers) wake()
  }
}
