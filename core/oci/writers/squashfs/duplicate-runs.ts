// Stores equal runs of blocks once. Equal content compresses to equal sizes, so a run whose block sizes have been seen
// before is compared with the earlier one on the disk, byte for byte, and taken back if it is the same. Files that have
// no twin cost one look into a map.

import type { ImageOutput } from './image-output.ts'

/** A run whose place is not settled yet. */
export interface OpenRun {
  start: number
  readonly blockSizes: number[]
}

export class DuplicateRuns {
  readonly #output: ImageOutput
  readonly #runs = new Map<string, OpenRun[]>()

  constructor(output: ImageOutput) {
    this.#output = output
  }

  /** Call when the blocks of `run` are the last thing in the output; may share an earlier run instead. */
  async settle(run: OpenRun): Promise<void> {
    const runBytes = this.#output.position - run.start
    if (runBytes === 0) return
    const key = `${run.blockSizes.length}/${runBytes}`
    const sameSize = this.#runs.get(key)
    if (sameSize === undefined) {
      this.#runs.set(key, [run])
      return
    }
    for (const earlier of sameSize) {
      if (!haveSameBlockSizes(earlier, run)) continue
      if (!(await this.#output.areSame(earlier.start, run.start, runBytes))) continue
      await this.#output.rewind(run.start)
      run.start = earlier.start
      return
    }
    sameSize.push(run)
  }
}

function haveSameBlockSizes(one: OpenRun, other: OpenRun): boolean {
  return one.blockSizes.every((size, index) => size === other.blockSizes[index])
}
