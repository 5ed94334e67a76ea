// The disk with the built core, mounted at /core. While the lab runs, the daemon may put a newer core on it.

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { promisify } from 'node:util'

const run = promisify(execFile)
const device = '/dev/vdb'
const mountPoint = '/core'
const attempts = 40
const pauseMs = 50

export async function mountCoreDisk(): Promise<void> {
  // What the kernel remembers of the disk may be older than the disk.
  await run('blockdev', ['--flushbufs', device])
  await run('mount', ['-t', 'ext4', '-o', 'ro,noatime', device, mountPoint])
}

/** Ends every process that runs from the disk and unmounts it; no file system may be mounted while its disk changes. */
export async function unmountCoreDisk(): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    for (const processId of usersOf(mountPoint)) {
      try {
        process.kill(processId, 'SIGKILL')
      } catch {
        // It ended by itself.
      }
    }
    try {
      await run('umount', [mountPoint])
      return
    } catch (error) {
      if (attempt === attempts) throw error
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
}

function usersOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((name) => {
      try {
        const workingFolder = `${readlinkSync(`/proc/${name}/cwd`)}/`
        return (
          workingFolder.startsWith(`${folder}/`) ||
          readFileSync(`/proc/${name}/maps`, 'utf8').includes(` ${folder}/`)
        )
      } catch {
        return false
      }
    })
    .map(Number)
}
