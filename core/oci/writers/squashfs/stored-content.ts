// Where the content of a file is in the image: what its inode will say.

import { NONE_32 } from './format.ts'

export interface StoredContent {
  readonly sizeBytes: number
  /** Where the first block is; the others follow it directly. */
  start: number
  /** Size of each block as stored (with the flag for "not compressed"); 0 is a block of zeros that is not stored. */
  blockSizes: readonly number[]
  /** Bytes of the blocks that are not stored. */
  sparseBytes: number
  /** The fragment that holds a small file, or `NONE_32`. */
  fragment: number
  fragmentOffset: number
}

export function emptyContent(sizeBytes: number): StoredContent {
  return { sizeBytes, start: 0, blockSizes: [], sparseBytes: 0, fragment: NONE_32, fragmentOffset: 0 }
}
