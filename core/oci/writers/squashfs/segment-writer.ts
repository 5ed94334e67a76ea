// Takes the contents of a layer's files into a segment: blocks compressed, small files packed into fragments, equal
// ones stored once. Nothing in it says where in an image it will stand.

import type { FileHandle } from 'node:fs/promises'
import { SEGMENT_DATA_OFFSET, type SegmentWriter } from '../image-format.ts'
import { BlockQueue } from './block-queue.ts'
import type { CompressionPool } from './compression-pool.ts'
import { ContentWriter } from './content-writer.ts'
import { DuplicateRuns } from './duplicate-runs.ts'
import { FragmentPacker } from './fragment-packer.ts'
import { ImageOutput } from './image-output.ts'
import { SegmentTableBuilder } from './segment-table.ts'

export class SquashfsSegmentWriter implements SegmentWriter {
  readonly #output: ImageOutput
  readonly #pool: CompressionPool
  readonly #queue: BlockQueue
  readonly #fragments: FragmentPacker
  readonly #writer: ContentWriter
  readonly #table = new SegmentTableBuilder()
  #ordinal = 0

  /** Writes to an empty file that is open for reading and writing. */
  constructor(file: FileHandle, pool: CompressionPool) {
    const { compressor, buffers, queueBytes } = pool
    this.#pool = pool
    this.#output = new ImageOutput(file, SEGMENT_DATA_OFFSET)
    this.#queue = new BlockQueue(compressor, this.#output, queueBytes)
    this.#fragments = new FragmentPacker(this.#queue, buffers)
    this.#writer = new ContentWriter({
      queue: this.#queue,
      fragments: this.#fragments,
      duplicates: new DuplicateRuns(this.#output),
      buffers,
      output: this.#output,
    })
  }

  beginFile(ordinal: number, sizeBytes: number): void {
    this.#ordinal = ordinal
    this.#writer.begin(sizeBytes)
  }

  write(chunk: Buffer): void {
    this.#writer.write(chunk)
  }

  writeHole(sizeBytes: number): void {
    this.#writer.writeHole(sizeBytes)
  }

  endFile(): void {
    this.#table.add(this.#ordinal, this.#writer.end())
  }

  ready(): Promise<void> {
    return this.#queue.ready()
  }

  async finish(): Promise<{ dataEnd: number; table: Buffer }> {
    this.#fragments.flush()
    await this.#queue.drain()
    const table = this.#table.finish(this.#fragments.fragments, this.#fragments.tails)
    return { dataEnd: this.#output.position, table }
  }

  async close(): Promise<void> {
    await this.#queue.stop()
    this.#pool[Symbol.dispose]()
  }
}
