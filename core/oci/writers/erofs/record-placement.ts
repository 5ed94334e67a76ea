// Finds places for inodes and what stands behind them: in slots of 32 bytes, and within one block where they fit into
// one, because what is inline must not cross a block (fs/erofs/data.c). Records fill the room that others left in blocks
// nearby, so that the inodes of a directory stay together.

import { alignUp, BLOCK_BYTES, INODE_SLOT_BYTES } from './format.ts'

/** In so many blocks room is looked for; older ones are left as they are. */
const OPEN_BLOCKS = 64

interface OpenBlock {
  /** Where the room begins. */
  start: number
  freeBytes: number
}

export class RecordPlacement {
  /** Oldest first. */
  readonly #open: OpenBlock[] = []
  /** The first slot names nothing: tools take inode 0 for none. */
  #end = INODE_SLOT_BYTES

  /** Where a record of so many bytes goes. */
  place(sizeBytes: number): number {
    const roundedBytes = alignUp(sizeBytes, INODE_SLOT_BYTES)
    const fitting = this.#bestFit(roundedBytes)
    if (fitting !== undefined) {
      const { start } = fitting
      fitting.start += roundedBytes
      fitting.freeBytes -= roundedBytes
      if (fitting.freeBytes === 0) this.#open.splice(this.#open.indexOf(fitting), 1)
      return start
    }
    if (roundedBytes > BLOCK_BYTES - (this.#end % BLOCK_BYTES)) this.#end = alignUp(this.#end, BLOCK_BYTES)
    const start = this.#end
    const blockEnd = alignUp(start + roundedBytes, BLOCK_BYTES)
    this.#end = blockEnd
    const freeBytes = blockEnd - start - roundedBytes
    if (freeBytes > 0) this.#open.push({ start: start + roundedBytes, freeBytes })
    if (this.#open.length > OPEN_BLOCKS) this.#open.shift()
    return start
  }

  /** Bytes of all records, in whole blocks. */
  get sizeBytes(): number {
    return alignUp(this.#end, BLOCK_BYTES)
  }

  #bestFit(sizeBytes: number): OpenBlock | undefined {
    let best: OpenBlock | undefined
    for (const block of this.#open) {
      if (block.freeBytes >= sizeBytes && (best === undefined || block.freeBytes < best.freeBytes))
        best = block
    }
    return best
  }
}
