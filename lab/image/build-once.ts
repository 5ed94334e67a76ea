// Builds a file or folder of the cache exactly once, even when several processes want it at the same moment,
// and so that a build killed halfway leaves nothing that a later one could take for finished.

import { existsSync, utimesSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type LockOptions, ProcessLock } from '../process-lock.ts'

/**
 * Makes sure that `target` exists. `build` gets an empty folder for its temporary files and returns the path in it
 * that shall become the target. The time of the last use is kept as the target's modification time, for `pruneImages`.
 */
export async function buildOnce(
  target: string,
  build: (workFolder: string) => Promise<string>,
  options: LockOptions = {},
): Promise<string> {
  if (!existsSync(target)) await buildLocked(target, build, options)
  const now = new Date()
  utimesSync(target, now, now)
  return target
}

async function buildLocked(
  target: string,
  build: (workFolder: string) => Promise<string>,
  options: LockOptions,
): Promise<void> {
  const lock = await ProcessLock.acquire(target, options)
  try {
    if (existsSync(target)) return
    const prefix = `.build-${basename(target)}-`
    await removeLeftovers(dirname(target), prefix)
    const workFolder = await mkdtemp(join(dirname(target), prefix))
    try {
      await rename(await build(workFolder), target)
    } finally {
      await rm(workFolder, { recursive: true, force: true })
    }
  } finally {
    lock.release()
  }
}

/** Whoever holds the lock knows that every other work folder of this target belongs to a process that was killed. */
async function removeLeftovers(folder: string, prefix: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (name.startsWith(prefix)) await rm(join(folder, name), { recursive: true, force: true })
  }
}
