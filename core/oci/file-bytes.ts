// Whole pieces of files: the system may read and write less than it is asked to.

import { type FileHandle, lstat } from 'node:fs/promises'
import { hasCode } from './errors.ts'

/** Fills the buffer from a place in a file. Throws a `RangeError` when the file ends before. */
export async function readFully(file: FileHandle, target: Buffer, position: number): Promise<void> {
  for (let offset = 0; offset < target.length; ) {
    const { bytesRead } = await file.read(target, offset, target.length - offset, position + offset)
    if (bytesRead === 0) throw new RangeError(`the file ends at byte ${position + offset}`)
    offset += bytesRead
  }
}

/** Writes all bytes to a place in a file. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let offset = 0; offset < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, offset, bytes.length - offset, position + offset)
    offset += bytesWritten
  }
}

/** The size of what has this name, links not followed; 0 when nothing has. */
export async function sizeOf(path: string): Promise<number> {
  try {
    return (await lstat(path)).size
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return 0
    throw error
  }
}
