// Files that are either there complete or not at all, also after a power cut: written beside their place, flushed,
// renamed, and the folder flushed (the order of containerd's content store).

import { randomBytes } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import path from 'node:path'

/** Marks a file that is being written; one that is found at the start is left over from a crash. */
export const TEMPORARY_MARK = '.tmp-'

/** A name beside `file` that no other writer uses. */
export function temporaryName(file: string): string {
  return `${file}${TEMPORARY_MARK}${randomBytes(6).toString('hex')}`
}

/** Replaces a file as one step. The mode is not narrowed by the umask. */
export async function writeFileDurably(
  file: string,
  content: Uint8Array | string,
  mode: number,
): Promise<void> {
  const temporary = temporaryName(file)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(content)
    await commitFile(handle, temporary, file, mode)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  } finally {
    await handle.close()
  }
}

/** Flushes an open file, gives it its final mode and name, and flushes the folder. */
export async function commitFile(
  handle: FileHandle,
  temporary: string,
  file: string,
  mode: number,
): Promise<void> {
  await handle.chmod(mode)
  await handle.sync()
  await rename(temporary, file)
  await syncFolder(path.dirname(file))
}

/** Makes creations, renames and removals in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
