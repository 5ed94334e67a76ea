// Random access to bytes that may be in memory or in a file, so that one parser reads headers out of a 60 MiB
// kernel without loading it, and tests feed it plain arrays.

import { readSync } from 'node:fs'
import { KernelError } from './kernel-error.ts'

export interface ByteSource {
  readonly sizeBytes: number
  /**
   * Bytes `offset … offset + length`; a range that is not wholly inside is an error, never a short answer.
   */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>
}

/** A source over an array; reads are views, not copies. */
export function memorySource(bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return {
    sizeBytes: bytes.length,
    read(offset, length) {
      checkRange(offset, length, bytes.length)
      return bytes.subarray(offset, offset + length)
    },
  }
}

/** A source over an open file whose size was just taken; the descriptor stays the caller's. */
export function fileSource(fileDescriptor: number, sizeBytes: number): ByteSource {
  return {
    sizeBytes,
    read(offset, length) {
      checkRange(offset, length, sizeBytes)
      const bytes = new Uint8Array(length)
      for (let done = 0; done < length; ) {
        const count = readSync(fileDescriptor, bytes, done, length - done, offset + done)
        if (count === 0) {
          throw new KernelError(
            'unreadable',
            `Cannot read kernel image: it ends at byte ${offset + done}, it had ${sizeBytes}`,
          )
        }
        done += count
      }
      return bytes
    },
  }
}

function checkRange(offset: number, length: number, sizeBytes: number): void {
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= sizeBytes
  if (!inside) {
    throw new KernelError(
      'malformed',
      `Cannot read kernel image: bytes ${offset} to ${offset + length} lie outside its ${sizeBytes} bytes`,
      { data: { offset, length, sizeBytes } },
    )
  }
}
