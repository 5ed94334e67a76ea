// The two disks that make a lab more than its snapshot: the built core, and the state that outlives a restart.
// Both have fixed sizes, because a snapshot remembers the size of every disk.

import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { runTool } from '../run-tool.ts'
import { buildOnce } from './build-once.ts'
import { contentKey, folderKey } from './content-key.ts'
import { makeExt4FromFolder } from './ext4.ts'

export const coreDiskMiB = 64
export const stateDiskGiB = 16

/** What dom0 gets to see under /core, as paths in the project. */
const corePaths = [
  'dist/core',
  'dist/guest-init',
  'node_modules/koffi',
  'node_modules/@koromix/koffi-linux-x64',
]
/** Node takes the bundles for modules. */
const corePackageJson = '{"type":"module"}\n'

const stateDiskOptions = [
  ...['-m', '0', '-L', 'bulkhead-state', '-J', 'size=64'],
  ...['-E', 'root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,packed_meta_blocks=1'],
]

/** Whether the project's core has been built. */
export function isCoreBuilt(projectRoot: string): boolean {
  return existsSync(join(projectRoot, 'dist/core/core-host.js'))
}

/** Path of a disk with what there is of the project's built core, named by its content. */
export async function coreDisk(cache: LabCache, projectRoot: string): Promise<string> {
  const present = corePaths.filter((path) => existsSync(join(projectRoot, path)))
  const key = contentKey([
    corePackageJson,
    present,
    folderKey(present.map((path) => join(projectRoot, path))),
  ])
  return buildOnce(join(cache.images, `core-${key}.ext4`), async (workFolder) => {
    const root = join(workFolder, 'root')
    mkdirSync(root)
    writeFileSync(join(root, 'package.json'), corePackageJson)
    for (const path of present) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      cpSync(join(projectRoot, path), join(root, path), { recursive: true, dereference: true })
    }
    const image = join(workFolder, 'core.ext4')
    await makeExt4FromFolder(root, image, coreDiskMiB)
    return image
  })
}

/** Puts a formatted, sparse state disk at `path` if there is nothing. */
export async function createStateDisk(cache: LabCache, path: string): Promise<void> {
  if (existsSync(path)) return
  const key = contentKey([stateDiskGiB, stateDiskOptions])
  const formatted = await buildOnce(join(cache.images, `state-${key}.ext4`), async (workFolder) => {
    const image = join(workFolder, 'state.ext4')
    await runTool(['mke2fs', '-q', '-F', '-t', 'ext4', ...stateDiskOptions, image, `${stateDiskGiB}G`])
    return image
  })
  await copySparse(formatted, path)
}

/** Copies a disk image without its holes; the target appears whole or not at all. */
export async function copySparse(from: string, to: string): Promise<void> {
  await runTool(['cp', '--sparse=always', '--reflink=auto', from, `${to}.new`])
  await rename(`${to}.new`, to)
}
