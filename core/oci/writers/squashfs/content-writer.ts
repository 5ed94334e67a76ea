// Takes the contents of files as a stream, cuts them into blocks and hands these on: full blocks to be compressed, zeros
// to be left out, small files into fragments. The end of a larger file is a block too, a short one: in a fragment it would
// hardly save space, and reading the file would mean decompressing the ends of many others (mksquashfs does the same).

import type { BlockBuffers } from './block-buffers.ts'
import type { BlockQueue } from './block-queue.ts'
import type { DuplicateRuns, OpenRun } from './duplicate-runs.ts'
import { BLOCK_BYTES, NONE_32 } from './format.ts'
import type { FragmentPacker } from './fragment-packer.ts'
import type { ImageOutput } from './image-output.ts'
import type { SegmentContent } from './segment-table.ts'

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
  /** Whether a file is begun; its blocks, or when it is small the number of its tail. */
  #isOpen = false
  #run: OpenRun | null = null
  #tail = NONE_32
  /** Bytes of the file that are still to come. */
  #left = 0
  /** A block that is being put together from pieces, and how much of it is there. */
  #block: Buffer | null = null
  #blockLength = 0

  constructor(parts: ContentWriterParts) {
    this.#parts = parts
  }

  begin(sizeBytes: number): void {
    if (this.#isOpen) throw new Error('a file is begun before the last one has ended')
    this.#isOpen = true
    this.#left = sizeBytes
    this.#tail = NONE_32
    this.#run = sizeBytes < BLOCK_BYTES ? null : { start: 0, blockSizes: [] }
    if (this.#run !== null) this.#noteStart(this.#run)
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

  /** Ends the file. Where its blocks are is settled when the queue is drained. */
  end(): SegmentContent {
    if (!this.#isOpen || this.#left > 0) throw new Error('a file ends before its announced size')
    this.#isOpen = false
    return { run: this.#run, tail: this.#tail }
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

  /** A block, the last one perhaps a short one, or a whole small file. `pooled` goes back to the pool when it is done with. */
  #emit(bytes: Buffer, pooled?: Buffer): void {
    const release = (): void => {
      if (pooled !== undefined) this.#parts.buffers.give(pooled)
    }
    if (this.#run === null) {
      this.#tail = this.#parts.fragments.add(bytes)
      release()
      return
    }
    if (bytes[0] === 0 && bytes.equals(ZERO_BLOCK.subarray(0, bytes.length))) {
      this.#emitZeros()
      release()
      return
    }
    const { blockSizes } = this.#blocks()
    const index = blockSizes.push(0) - 1
    this.#parts.queue.add(
      bytes,
      (_, storedSize) => {
        blockSizes[index] = storedSize
      },
      release,
    )
    if (this.#left === 0) this.#settle()
  }

  #emitZeros(): void {
    this.#blocks().blockSizes.push(0)
    if (this.#left === 0) this.#settle()
  }

  #noteStart(run: OpenRun): void {
    this.#parts.queue.afterBlocks(async () => {
      run.start = this.#parts.output.position
    })
  }

  /** All blocks are on their way: when they have arrived, an equal run may take their place. */
  #settle(): void {
    const run = this.#run
    if (run !== null) this.#parts.queue.afterBlocks(() => this.#parts.duplicates.settle(run))
  }

  #blocks(): OpenRun {
    if (!this.#isOpen || this.#run === null) throw new Error('bytes come while no file is begun')
    return this.#run
  }
}
