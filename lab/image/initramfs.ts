// The initramfs of dom0: just enough to reach the runtime disk, and the lab agent, which thereby can change
// without a new runtime disk.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { runTool } from '../run-tool.ts'
import { buildOnce } from './build-once.ts'
import { contentKey } from './content-key.ts'
import { type CpioEntry, writeCpio } from './cpio.ts'
import type { KernelFiles } from './kernel.ts'
import { loadOrder } from './load-order.ts'

export interface InitramfsIngredients {
  readonly kernel: KernelFiles
  /** In a folder that is named by its content. */
  readonly busybox: string
  /** The folder `lab/` of the sources, with `dom0/` and `agent/`. */
  readonly labFolder: string
  /** A Node that can strip types. */
  readonly node: string
}

/** What it takes to mount the runtime disk and the writable layer over it; crc32c is ext4's, found by the kernel only by name. */
const bootModules = ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4', 'overlay']
const scripts = ['init', 'start', 'run-agent', 'settle']
const recipeVersion = 1

/** Path of the uncompressed archive, built if it does not exist. */
export async function initramfs(cache: LabCache, ingredients: InitramfsIngredients): Promise<string> {
  const { kernel, busybox, labFolder } = ingredients
  const agentSources = readdirSync(join(labFolder, 'agent'))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => join(labFolder, 'agent', name))
  const ownFiles = [...scripts.map((name) => join(labFolder, 'dom0', name)), ...agentSources]
  const key = contentKey([
    recipeVersion,
    bootModules,
    basename(kernel.folder),
    busybox.split('/').at(-2),
    ownFiles.map((path) => [basename(path), readFileSync(path, 'utf8')]),
  ])
  return buildOnce(join(cache.images, `initramfs-${key}.cpio`), async (workFolder) => {
    const agent = await agentEntries(agentSources, ingredients)
    writeFileSync(join(workFolder, 'initramfs'), writeCpio([...bootEntries(ingredients), ...agent]))
    return join(workFolder, 'initramfs')
  })
}

function bootEntries({ kernel, busybox, labFolder }: InitramfsIngredients): CpioEntry[] {
  const folders = ['bin', 'dev', 'proc', 'sys', 'runtime', 'layer', 'root', 'modules', 'lab', 'lab/agent']
  const modulesFolder = join(kernel.folder, 'lib/modules', kernel.release)
  const modules = loadOrder(modulesFolder, bootModules)
  return [
    ...folders.map((path) => ({ path, mode: 0o040755 })),
    { path: 'dev/console', mode: 0o020600, device: { major: 5, minor: 1 } },
    { path: 'bin/busybox', mode: 0o100755, content: readFileSync(busybox) },
    ...modules.map((path) => ({
      path: `modules/${basename(path)}`,
      mode: 0o100644,
      content: readFileSync(join(modulesFolder, path)),
    })),
    {
      path: 'modules/order',
      mode: 0o100644,
      content: `${modules.map((path) => basename(path)).join('\n')}\n`,
    },
    ...scripts.map((name) => ({
      path: name === 'init' ? 'init' : `lab/${name}`,
      mode: 0o100755,
      content: readFileSync(join(labFolder, 'dom0', name)),
    })),
  ]
}

async function agentEntries(
  sources: readonly string[],
  ingredients: InitramfsIngredients,
): Promise<CpioEntry[]> {
  const stripper = join(ingredients.labFolder, 'image/strip-types.ts')
  const printed = await runTool([
    ingredients.node,
    '--disable-warning=ExperimentalWarning',
    stripper,
    ...sources,
  ])
  const stripped = JSON.parse(printed.toString()) as string[]
  const modules = sources.map((path, index) => ({
    path: `lab/agent/${basename(path, '.ts')}.js`,
    mode: 0o100644,
    content: (stripped[index] ?? '').replace(/(from '\.\/[\w-]+)\.ts'/g, "$1.js'"),
  }))
  return [...modules, { path: 'lab/agent/package.json', mode: 0o100644, content: '{"type":"module"}\n' }]
}
