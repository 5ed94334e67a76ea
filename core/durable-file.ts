// Files that are either there complete or not at all, also after a power cut: written beside their place, flushed,
// renamed, and the folder flushed (the order of containerd's content store).

import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import path from 'node:path'

/** Marks a file that is being written; one that is found at the start is left over from a crash. */
export const TEMPORARY_MARK = '.tmp-'

/** A name beside `file` that no other writer uses. */
export function temporaryName(file: string): string {
  return `${file}${TEMPORARY_MARK}${randomBytes(6).toString('hex')}`
}

/** Removes what writers left in a folder that is theirs alone when they were killed. */
export async function removeTemporaries(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (name.includes(TEMPORARY_MARK)) await rm(path.join(folder, name), { recursive: true, force: true })
}

export interface ReplaceFileOptions {
  /** Not narrowed by the umask; 0600 if left out. */
  readonly mode?: number | undefined
  /**
   * What must be there after the machine lost power (the default). `process`: what only has to survive this process,
   * because a lost machine takes what it is about along; the disk is not waited for.
   */
  readonly survives?: 'power-loss' | 'process' | undefined
}

/** Replaces a file as one step: after a crash the old or the new content is there, never a part. */
export async function replaceFile(
  file: string,
  content: Uint8Array | string,
  { mode = 0o600, survives = 'power-loss' }: ReplaceFileOptions = {},
): Promise<void> {
  const temporary = temporaryName(file)
  try {
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(content)
      if (survives === 'power-loss') return await commitFile(handle, temporary, file, mode)
      await handle.chmod(mode)
      await rename(temporary, file)
    } finally {
      await handle.close()
    }
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
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
