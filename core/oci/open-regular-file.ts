// Opens what we have put somewhere under a name of ours. We make regular files only: a link, a directory or a FIFO of that
// name is not ours, and is neither followed nor waited for.

import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { hasCode } from './errors.ts'

/** Without O_NONBLOCK, open(2) waits for the writer of a FIFO. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** The file, open for reading; undefined when there is none, or something else in its place. */
export async function openRegularFile(path: string): Promise<FileHandle | undefined> {
  let file: FileHandle
  try {
    file = await open(path, FLAGS)
  } catch (error) {
    // ELOOP: a symbolic link; ENXIO: a socket (open(2)).
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ELOOP') || hasCode(error, 'ENXIO')) return undefined
    throw error
  }
  let isRegular = false
  try {
    isRegular = (await file.stat()).isFile()
  } finally {
    if (!isRegular) await file.close()
  }
  return isRegular ? file : undefined
}
