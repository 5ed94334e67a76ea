// Copies pieces of segments into an image, one after the other, with few large reads and writes: reading goes on while the
// piece before is written.

import type { FileHandle } from 'node:fs/promises'
import { throwIfCancelled } from '../errors.ts'
import { readFully, writeFully } from '../file-bytes.ts'

/** A piece of a file. */
export interface Extent {
  readonly file: FileHandle
  readonly start: number
  readonly sizeBytes: number
}

export interface CopyExtentsOptions {
  readonly extents: readonly Extent[]
  readonly target: FileHandle
  /** Where the first extent goes; the others follow it. */
  readonly position: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((bytesDone: number, bytesTotal: number) => void) | undefined
}

const COPY_BYTES = 2 * 1024 * 1024
const COMPARE_BYTES = 512 * 1024

/** Copies all extents; returns where the last one ends. Throws `oci.cancelled`, or the system's error. */
export async function copyExtents(options: CopyExtentsOptions): Promise<number> {
  const { extents, target, signal, onProgress } = options
  const bytesTotal = extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const buffers = [Buffer.allocUnsafeSlow(COPY_BYTES), Buffer.allocUnsafeSlow(COPY_BYTES)] as const
  let [filling, writing] = buffers
  let end = options.position
  let written = Promise.resolve()
  try {
    for (const pieces of batches(extents)) {
      throwIfCancelled(signal, 'write the image')
      let length = 0
      for (const { file, start, sizeBytes } of pieces) {
        await readFully(file, filling.subarray(length, length + sizeBytes), start)
        length += sizeBytes
      }
      await written
      onProgress?.(end - options.position, bytesTotal)
      ;[filling, writing] = [writing, filling]
      written = writeFully(target, writing.subarray(0, length), end)
      // Its failure is met when it is waited for.
      written.catch(() => undefined)
      end += length
    }
  } finally {
    // Nothing may be written any more when this has failed.
    await written
  }
  onProgress?.(bytesTotal, bytesTotal)
  return end
}

/** Whether two pieces of the same size hold the same bytes. */
export async function areSameBytes(one: Extent, other: Extent): Promise<boolean> {
  const buffers = [one, other].map(() => Buffer.allocUnsafe(Math.min(one.sizeBytes, COMPARE_BYTES)))
  for (let offset = 0; offset < one.sizeBytes; offset += COMPARE_BYTES) {
    const length = Math.min(COMPARE_BYTES, one.sizeBytes - offset)
    const [first, second] = buffers.map((buffer) => buffer.subarray(0, length)) as [Buffer, Buffer]
    await readFully(one.file, first, one.start + offset)
    await readFully(other.file, second, other.start + offset)
    if (!first.equals(second)) return false
  }
  return true
}

/** Cuts the extents into groups of pieces that fill a buffer each. */
function* batches(extents: readonly Extent[]): Generator<Extent[], void, void> {
  let batch: Extent[] = []
  let room = COPY_BYTES
  for (const { file, start, sizeBytes } of extents) {
    for (let offset = 0; offset < sizeBytes; ) {
      const piece = Math.min(room, sizeBytes - offset)
      batch.push({ file, start: start + offset, sizeBytes: piece })
      offset += piece
      room -= piece
      if (room > 0) continue
      yield batch
      batch = []
      room = COPY_BYTES
    }
  }
  if (batch.length > 0) yield batch
}
