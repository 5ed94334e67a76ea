// The initramfs of dom0: just enough to reach the runtime disk, and the lab agent, which thereby can change
// without a new runtime disk.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { buildOnce } from './build-once.ts'
import { contentKey } from './content-key.ts'
import { type CpioEntry, writeCpio } from './cpio.ts'
import type { KernelFiles } from './kernel.ts'
import { loadOrder } from './load-order.ts'

export interface InitramfsIngredients {
  readonly kernel: KernelFiles
  readonly busybox: string
  /** The folder `lab/` of the sources, with `dom0/` and `agent/`. */
  readonly labFolder: string
}

/** What it takes to mount the runtime disk and the writable layer over it; crc32c is ext4's, found by the kernel only by name. */
const bootModules = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4', 'overlay']

/** Path of the uncompressed archive, built if it does not exist; its name is the key of its content. */
export async function initramfs(cache: LabCache, ingredients: InitramfsIngredients): Promise<string> {
  const archive = writeCpio(entriesOf(ingredients))
  const path = join(cache.images, `initramfs-${contentKey(archive.toString('base64'))}.cpio`)
  return buildOnce(path, async (workFolder) => {
    writeFileSync(join(workFolder, 'initramfs'), archive)
    return join(workFolder, 'initramfs')
  })
}

function entriesOf({ kernel, busybox, labFolder }: InitramfsIngredients): CpioEntry[] {
  const folder = (path: string): CpioEntry => ({ path, mode: 0o040755 })
  const modulesFolder = join(kernel.folder, 'lib/modules', kernel.release)
  const modules = loadOrder(modulesFolder, bootModules)
  return [
    ...['bin', 'dev', 'proc', 'sys', 'runtime', 'layer', 'root', 'modules', 'lab', 'lab/agent'].map(folder),
    { path: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
    { path: 'bin/busybox', mode: 0o100755, content: readFileSync(busybox) },
    ...modules.map((path) => ({
      path: `modules/${fileNameOf(path)}`,
      mode: 0o100644,
      content: readFileSync(join(modulesFolder, path)),
    })),
    { path: 'modules/order', mode: 0o100644, content: `${modules.map(fileNameOf).join('\n')}\n` },
    { path: 'init', mode: 0o100755, content: readFileSync(join(labFolder, 'dom0/init')) },
    ...['start', 'run-agent'].map((name) => ({
      path: `lab/${name}`,
      mode: 0o100755,
      content: readFileSync(join(labFolder, 'dom0', name)),
    })),
    ...agentFiles(join(labFolder, 'agent')),
  ]
}

/** The agent's sources without their types: Node in dom0 then has nothing to strip, which under emulation takes seconds. */
function agentFiles(folder: string): CpioEntry[] {
  return readdirSync(folder)
    .filter(
      (name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && statSync(join(folder, name)).isFile(),
    )
    .map((name) => ({
      path: `lab/agent/${name.replace(/\.ts$/, '.js')}`,
      mode: 0o100644,
      content: stripTypeScriptTypes(readFileSync(join(folder, name), 'utf8')).replace(
        /(from '\.\/[\w-]+)\.ts'/g,
        "$1.js'",
      ),
    }))
    .concat([{ path: 'lab/agent/package.json', mode: 0o100644, content: '{"type":"module"}\n' }])
}

function fileNameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
