// Stores equal runs of blocks once. Equal content compresses to equal sizes, so a run whose block sizes have been seen
// before is compared with the earlier one on the disk, byte for byte, and taken back if it is the same. Files that have
// no twin cost one look into a map.

import type { ImageOutput } from './image-output.ts'
import type { StoredContent } from './stored-content.ts'

export class DuplicateRuns {
  readonly #output: ImageOutput
  readonly #runs = new Map<string, StoredContent[]>()

  constructor(output: ImageOutput) {
    this.#output = output
  }

  /** Call when the blocks of `content` are the last thing in the output; may share an earlier run instead. */
  async settle(content: StoredContent): Promise<void> {
    const runBytes = this.#output.position - content.start
    if (runBytes === 0) return
    const key = `${content.blockSizes.length}/${runBytes}`
    const sameSize = this.#runs.get(key)
    if (sameSize === undefined) {
      this.#runs.set(key, [content])
      return
    }
    for (const earlier of sameSize) {
      if (!haveSameBlockSizes(earlier, content)) continue
      if (!(await this.#output.areSame(earlier.start, content.start, runBytes))) continue
      await this.#output.rewind(content.start)
      content.start = earlier.start
      return
    }
    sameSize.push(content)
  }
}

function haveSameBlockSizes(one: StoredContent, other: StoredContent): boolean {
  return one.blockSizes.every((size, index) => size === other.blockSizes[index])
}
