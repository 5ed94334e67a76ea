// The files and sockets of one lab, all in its folder.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { LabError } from '../errors.ts'

export interface LabFiles {
  readonly folder: string
  /** The control API of the core host in this lab's dom0. */
  readonly coreSocket: string
  /** The daemon's own: status, exec, forwards, shutdown. */
  readonly labSocket: string
  /** The serial console of Xen and dom0, both ways. */
  readonly consoleSocket: string
  readonly consoleLog: string
  readonly daemonLog: string
  readonly coreDisk: string
  readonly stateDisk: string
}

/** sun_path of a unix socket holds 107 bytes and a zero (unix(7)). */
const socketPathLimit = 107

/** Names the files of the lab `name`; throws `lab.option` when the cache folder lies too deep for sockets. */
export function labFiles(cache: LabCache, name: string): LabFiles {
  const folder = join(cache.labs, name)
  const consoleSocket = join(folder, 'console.sock')
  if (Buffer.byteLength(consoleSocket) > socketPathLimit) {
    throw new LabError(
      'lab.option',
      `Cannot put a lab in ${folder}: the path of its sockets would have ${Buffer.byteLength(consoleSocket)} bytes, Linux allows ${socketPathLimit}`,
      { hint: 'Set BULKHEAD_CACHE to a shorter path.' },
    )
  }
  return filesIn(folder)
}

/** The names of a lab's files in a folder of any depth. */
export function filesIn(folder: string): LabFiles {
  return {
    folder,
    coreSocket: join(folder, 'core.sock'),
    labSocket: join(folder, 'lab.sock'),
    consoleSocket: join(folder, 'console.sock'),
    consoleLog: join(folder, 'console.log'),
    daemonLog: join(folder, 'daemon.log'),
    coreDisk: join(folder, 'core.ext4'),
    stateDisk: join(folder, 'state.ext4'),
  }
}

export function createLabFolder(files: LabFiles): void {
  mkdirSync(files.folder, { recursive: true, mode: 0o700 })
}
