// Programs of the host that the lab needs; the Debian package of each, to say what is missing in one sentence.

import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { LabError } from './errors.ts'

const packageOfTool = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'dpkg-deb': 'dpkg',
  'apt-get': 'apt',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  xz: 'xz-utils',
  setpriv: 'util-linux',
  fallocate: 'util-linux',
} as const

/** Throws `lab.missing-tool` naming every missing program and the command that installs them. */
export function checkHostTools(path: string = process.env.PATH ?? ''): void {
  if (process.arch !== 'x64') {
    throw new LabError(
      'lab.machine',
      `Cannot run the lab on this machine: it is ${process.arch}, the lab needs an x86-64 one`,
    )
  }
  // mke2fs lies in a folder that only root has on its path.
  const folders = [...path.split(':'), '/usr/sbin', '/sbin']
  const missing = Object.entries(packageOfTool).filter(
    ([tool]) => !folders.some((folder) => isProgram(join(folder, tool))),
  )
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(([, name]) => name))]
  const plural = missing.length > 1 ? 'programs are' : 'program is'
  throw new LabError(
    'lab.missing-tool',
    `Cannot run the lab: the ${plural} missing: ${missing.map(([tool]) => tool).join(', ')}`,
    { hint: `As root: apt-get install ${packages.join(' ')}`, data: { packages } },
  )
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
