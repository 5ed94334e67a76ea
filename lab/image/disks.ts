// The two disks that make a lab more than its snapshot: the built core, and the state that outlives a restart.
// Both have fixed sizes, because a snapshot remembers the size of every disk.

import { cpSync, existsSync, mkdirSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { runTool } from '../run-tool.ts'
import { buildOnce } from './build-once.ts'
import { folderKey } from './content-key.ts'
import { makeExt4FromFolder } from './runtime-disk.ts'

export const coreDiskMiB = 64
export const stateDiskGiB = 16

/** What dom0 gets to see under /core, as paths in the project. */
const corePaths = [
  'dist/core',
  'dist/guest-init',
  'node_modules/koffi',
  'node_modules/@koromix/koffi-linux-x64',
]

/** Parts of packages that only matter for building them. */
const unwanted = ['node_modules/koffi/doc', 'node_modules/koffi/src', 'node_modules/koffi/vendor']

/** Whether the project's core has been built. */
export function isCoreBuilt(projectRoot: string): boolean {
  return existsSync(join(projectRoot, 'dist/core/core-host.js'))
}

/** Path of the disk with the project's built core, named by its content. */
export async function coreDisk(cache: LabCache, projectRoot: string): Promise<string> {
  const present = corePaths.filter((path) => existsSync(join(projectRoot, path)))
  const key = folderKey(present.map((path) => join(projectRoot, path)))
  return buildOnce(join(cache.images, `core-${key}.ext4`), async (workFolder) => {
    const root = join(workFolder, 'root')
    mkdirSync(root)
    for (const path of present) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      cpSync(join(projectRoot, path), join(root, path), { recursive: true, dereference: true })
    }
    for (const path of unwanted) await rm(join(root, path), { recursive: true, force: true })
    const image = join(workFolder, 'core.ext4')
    await makeExt4FromFolder(root, image, coreDiskMiB)
    return image
  })
}

/** An empty core disk, for labs without a core. */
export async function emptyCoreDisk(cache: LabCache): Promise<string> {
  return buildOnce(join(cache.images, 'core-none.ext4'), async (workFolder) => {
    const root = join(workFolder, 'root')
    mkdirSync(root)
    const image = join(workFolder, 'core.ext4')
    await makeExt4FromFolder(root, image, coreDiskMiB)
    return image
  })
}

/** Makes a formatted, sparse state disk at `path` if there is none. */
export async function stateDisk(cache: LabCache, path: string): Promise<void> {
  if (existsSync(path)) return
  const formatted = await buildOnce(
    join(cache.images, `state-${stateDiskGiB}GiB-1.ext4`),
    async (workFolder) => {
      const image = join(workFolder, 'state.ext4')
      await runTool([
        ...(['mke2fs', '-q', '-F', '-t', 'ext4', '-m', '0', '-L', 'bulkhead-state'] as const),
        ...[
          '-E',
          'root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,packed_meta_blocks=1',
          '-J',
          'size=64',
        ],
        ...[image, `${stateDiskGiB}G`],
      ])
      return image
    },
  )
  await copySparse(formatted, path)
}

async function copySparse(from: string, to: string): Promise<void> {
  const temporary = `${to}.new`
  await runTool(['cp', '--sparse=always', '--reflink=auto', from, temporary])
  await rename(temporary, to)
}
