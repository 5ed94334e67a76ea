// Takes the contents of files as a stream, cuts them into blocks and hands these on: full blocks to be compressed, zeros
// to be left out, ends of files into fragments.

import type { BlockBuffers } from './block-buffers.ts'
import type { BlockQueue } from './block-queue.ts'
import type { DuplicateRuns } from './duplicate-runs.ts'
import { BLOCK_BYTES } from './format.ts'
import type { FragmentPacker } from './fragment-packer.ts'
import type { ImageOutput } from './image-output.ts'
import { emptyContent, type StoredContent } from './stored-content.ts'

const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES)

export interface ContentWriterParts {
  readonly queue: BlockQueue
  readonly fragments: FragmentPacker
  readonly duplicates: DuplicateRuns
  readonly buffers: BlockBuffers
  readonly output: ImageOutput
}

export class ContentWriter {
  readonly #parts: ContentWriterParts
  #content: StoredContent | null = null
  /** Bytes of the file that are still to come. */
  #left = 0
  /** A block that is being put together from pieces, and how much of it is there. */
  #block: Buffer | null = null
  #blockLength = 0

  constructor(parts: ContentWriterParts) {
    this.#parts = parts
  }

  begin(sizeBytes: number): StoredContent {
    if (this.#content !== null) throw new Error('a file is begun before the last one has ended')
    this.#content = emptyContent(sizeBytes)
    this.#left = sizeBytes
    if (sizeBytes >= BLOCK_BYTES) this.#noteStart(this.#content)
    return this.#content
  }

  write(chunk: Buffer): void {
    if (chunk.length > this.#left) throw new Error('a file gets more bytes than announced')
    let offset = 0
    while (offset < chunk.length) {
      const wanted = Math.min(BLOCK_BYTES, this.#blockLength + this.#left)
      const taken = Math.min(wanted - this.#blockLength, chunk.length - offset)
      const piece = chunk.subarray(offset, offset + taken)
      offset += taken
      this.#left -= taken
      if (taken === wanted) this.#emit(piece)
      else this.#collect(piece, wanted)
    }
  }

  writeHole(sizeBytes: number): void {
    for (let left = sizeBytes; left > 0; ) {
      if (this.#blockLength === 0 && left >= BLOCK_BYTES && this.#left >= BLOCK_BYTES) {
        this.#left -= BLOCK_BYTES
        left -= BLOCK_BYTES
        this.#emitZeros()
      } else {
        const taken = Math.min(left, BLOCK_BYTES - this.#blockLength)
        this.write(ZERO_BLOCK.subarray(0, taken))
        left -= taken
      }
    }
  }

  end(): void {
    if (this.#content === null || this.#left > 0) throw new Error('a file ends before its announced size')
    this.#content = null
  }

  #collect(piece: Buffer, wanted: number): void {
    const block = this.#block ?? this.#parts.buffers.take()
    this.#block = block
    piece.copy(block, this.#blockLength)
    this.#blockLength += piece.length
    if (this.#blockLength < wanted) return
    this.#block = null
    this.#blockLength = 0
    this.#emit(block.subarray(0, wanted), block)
  }

  /** A full block, or the end of the file. `pooled` goes back to the pool when it is done with. */
  #emit(bytes: Buffer, pooled?: Buffer): void {
    const content = this.#open()
    const release = (): void => {
      if (pooled !== undefined) this.#parts.buffers.give(pooled)
    }
    if (bytes.length < BLOCK_BYTES) {
      this.#settle(content)
      this.#parts.fragments.add(bytes, content)
      release()
      return
    }
    if (bytes[0] === 0 && bytes.equals(ZERO_BLOCK)) {
      this.#emitZeros()
      release()
      return
    }
    const index = content.blockSizes.push(0) - 1
    this.#parts.queue.add(
      bytes,
      (_, storedSize) => {
        content.blockSizes[index] = storedSize
      },
      release,
    )
    if (this.#left === 0) this.#settle(content)
  }

  #emitZeros(): void {
    const content = this.#open()
    content.blockSizes.push(0)
    content.sparseBytes += BLOCK_BYTES
    if (this.#left === 0) this.#settle(content)
  }

  #noteStart(content: StoredContent): void {
    this.#parts.queue.afterBlocks(async () => {
      content.start = this.#parts.output.position
    })
  }

  /** All full blocks are on their way: when they have arrived, an equal run may take their place. */
  #settle(content: StoredContent): void {
    if (content.blockSizes.length > 0)
      this.#parts.queue.afterBlocks(() => this.#parts.duplicates.settle(content))
  }

  #open(): StoredContent {
    if (this.#content === null) throw new Error('bytes come while no file is begun')
    return this.#content
  }
}
