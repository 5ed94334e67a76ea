// Files that are either there as a whole or not at all: temp, fsync, rename, fsync of the folder.
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

let counter = 0

export interface AtomicWriteOptions {
  readonly mode?: number
  /**
   * What must be there after the machine lost power (the default). `process`: what only has to survive this process,
   * because a lost machine takes what it is about along; the disk is not waited for.
   */
  readonly survives?: 'power-loss' | 'process'
}

/** Replaces `path` by `data`; after a crash the old or the new content is there, never a part. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  { mode = 0o600, survives = 'power-loss' }: AtomicWriteOptions = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.${counter++}.tmp`)
  try {
    await using file = await open(temporary, 'wx', mode)
    await file.writeFile(data)
    if (survives === 'power-loss') await file.sync()
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  if (survives === 'process') return
  await using folder = await open(dirname(path), 'r')
  await folder.sync()
}
