// Folders of test labs whose daemon was killed before it could remove them.

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from './cache.ts'
import { labFiles } from './daemon/lab-files.ts'
import { ProcessLock } from './process-lock.ts'

const testLabPattern = /^test-(\d+)-/

/** The name of a lab that belongs to this process. */
export function testLabName(suffix: string): string {
  return `test-${process.pid}-${suffix}`
}

/** Removes the folders of test labs that have neither a daemon nor the process that they were started for. */
export async function removeAbandonedLabs(cache: LabCache): Promise<void> {
  const processes = new Set(readdirSync('/proc'))
  for (const name of readdirSync(cache.labs)) {
    const processId = testLabPattern.exec(name)?.[1]
    if (processId === undefined || processes.has(processId)) continue
    const { folder } = labFiles(cache, name)
    const lock = await ProcessLock.tryAcquire(folder)
    if (!lock) continue
    rmSync(join(cache.labs, name), { recursive: true, force: true })
    lock.release()
  }
}
