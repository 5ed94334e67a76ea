// A named stack of layers and what it has to become.

import type { TarMember } from '../../../core/oci/layer/testing/tar-writer.ts'

export interface MergeCase {
  readonly name: string
  /** Bottom first. */
  readonly layers: readonly (readonly TarMember[])[]
  /** The same as umoci makes of it, entry by entry, if left out. */
  readonly expected?: ExpectedTree | ExpectedRefusal
}

/** Where tools differ legally, or none can be the judge: what we make of it, and why. */
export interface ExpectedTree {
  /** All paths but the root: `directory`, `fifo`, `device 1:3`, `-> target`, or the content of a file. */
  readonly tree: Readonly<Record<string, string>>
  readonly because: string
}

export interface ExpectedRefusal {
  /** What the error says. */
  readonly refused: RegExp
  readonly because: string
}
