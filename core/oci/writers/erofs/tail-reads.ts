// Reads the tails of files out of the segments, in the order in which they stand there.

import { readFully } from '../../file-bytes.ts'
import type { OpenSegment } from '../image-format.ts'

/** Tails are read together with what lies between them when that is not more than this. */
const READ_GAP_BYTES = 16 * 1024
const READ_BYTES = 256 * 1024

/** A tail to be read: from a place in a segment to a place in the part. */
export interface TailRead {
  readonly segment: OpenSegment
  readonly layer: number
  readonly from: number
  readonly to: number
  readonly sizeBytes: number
}

/** Reads tails into their places, those that stand close together with one read. */
export async function readTails(tails: TailRead[], part: Buffer): Promise<void> {
  tails.sort((one, other) => one.layer - other.layer || one.from - other.from)
  for (let first = 0; first < tails.length; ) {
    const head = tails[first] as TailRead
    let end = head.from + head.sizeBytes
    let last = first + 1
    for (; last < tails.length; last++) {
      const { layer, from, sizeBytes } = tails[last] as TailRead
      const isNear =
        layer === head.layer && from - end <= READ_GAP_BYTES && from + sizeBytes - head.from <= READ_BYTES
      if (!isNear) break
      end = Math.max(end, from + sizeBytes)
    }
    const bytes = Buffer.allocUnsafe(end - head.from)
    await readFully(head.segment.file, bytes, head.from)
    for (const { from, to, sizeBytes } of tails.slice(first, last))
      bytes.copy(part, to, from - head.from, from - head.from + sizeBytes)
    first = last
  }
}
