// The read-only root file system of dom0: Debian's files, Node, and the kernels and modules for guests. It holds
// nothing of Bulkhead itself, so it changes only when a package or this recipe does.

import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { runTool } from '../run-tool.ts'
import { buildOnce } from './build-once.ts'
import { contentKey } from './content-key.ts'
import { makeExt4FromFolder } from './ext4.ts'
import type { DebianPackage } from './fetch-packages.ts'
import type { KernelFiles } from './kernel.ts'

export interface RuntimeIngredients {
  readonly packages: readonly DebianPackage[]
  readonly kernel: KernelFiles
  readonly node: NodeBinary
}

export interface NodeBinary {
  readonly path: string
  readonly version: string
}

/** What the disk has beyond packages; raise `version` when the code below changes what it makes. */
const recipe = {
  version: 2,
  emptyFolders: [
    'core',
    'dev',
    'mnt',
    'proc',
    'root',
    'run',
    'sys',
    'tmp',
    'var/lib/bulkhead',
    'var/log/bulkhead',
  ],
  unwanted: [
    'usr/share/doc',
    'usr/share/man',
    'usr/share/info',
    'usr/share/locale',
    'usr/share/lintian',
    'usr/share/bash-completion',
    'usr/lib/xen-4.17/lib/python',
    'usr/lib/x86_64-linux-gnu/gconv',
  ],
  links: {
    'bin/sh': 'dash',
    'usr/sbin/xl': '../lib/xen-4.17/bin/xl',
    'usr/sbin/xenstored': '../lib/xen-4.17/bin/xenstored',
    'usr/sbin/xenconsoled': '../lib/xen-4.17/bin/xenconsoled',
    'usr/sbin/xen-init-dom0': '../lib/xen-4.17/bin/xen-init-dom0',
    'usr/sbin/xentop': '../lib/xen-4.17/bin/xentop',
    'usr/lib/xen': 'xen-4.17',
    'etc/mtab': '/proc/self/mounts',
    'var/run': '/run',
    'var/lock': '/run/lock',
  },
  files: {
    'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    'etc/group': 'root:x:0:\ntty:x:5:\nbulkhead:x:990:\nnogroup:x:65534:\n',
    'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
    'etc/hostname': 'lab\n',
    'etc/os-release': 'PRETTY_NAME="Bulkhead lab"\nID=bulkhead-lab\n',
    'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
    // The resolver of QEMU's user-mode network.
    'etc/resolv.conf': 'nameserver 10.0.2.3\n',
    'etc/profile':
      'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PS1="lab:\\w# "\n',
  },
} as const

/** Path of the disk image, built if it does not exist. */
export async function runtimeDisk(
  cache: LabCache,
  ingredients: RuntimeIngredients,
  report: (line: string) => void,
): Promise<string> {
  const key = contentKey([
    recipe,
    ingredients.packages.map((one) => one.fileName),
    basename(ingredients.kernel.folder),
    ingredients.node.version,
  ])
  return buildOnce(join(cache.images, `runtime-${key}.ext4`), async (workFolder) => {
    report('Building the root file system of the lab')
    const root = join(workFolder, 'root')
    await fillRoot(root, ingredients)
    const image = join(workFolder, 'runtime.ext4')
    await makeExt4FromFolder(root, image, 768)
    await rm(root, { recursive: true, force: true })
    return image
  })
}

async function fillRoot(root: string, { packages, kernel, node }: RuntimeIngredients): Promise<void> {
  mkdirSync(root, { recursive: true })
  for (const one of packages) await runTool(['dpkg-deb', '-x', one.path, root])
  for (const path of recipe.unwanted) await rm(join(root, path), { recursive: true, force: true })
  for (const folder of recipe.emptyFolders) mkdirSync(join(root, folder), { recursive: true })
  chmodSync(join(root, 'tmp'), 0o1777)
  for (const [path, text] of Object.entries(recipe.files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  for (const [path, target] of Object.entries(recipe.links)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    await rm(join(root, path), { recursive: true, force: true })
    symlinkSync(target, join(root, path))
  }
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true })
  copyFileSync(node.path, join(root, 'usr/local/bin/node'))
  chmodSync(join(root, 'usr/local/bin/node'), 0o755)
  await linkBusyboxApplets(root)
  installKernel(root, kernel)
}

/** Every busybox applet that no real program of the packages stands for. */
async function linkBusyboxApplets(root: string): Promise<void> {
  const applets = (await runTool([join(root, 'bin/busybox'), '--list']))
    .toString()
    .split('\n')
    .filter(Boolean)
  for (const applet of applets) {
    const taken = ['bin', 'sbin', 'usr/bin', 'usr/sbin'].some((folder) =>
      existsSync(join(root, folder, applet)),
    )
    if (!taken) symlinkSync('/bin/busybox', join(root, 'bin', applet))
  }
}

/** Debian's kernel as a distribution leaves it, and unpacked as the bundled guest kernel, with the same modules. */
function installKernel(root: string, { folder, release }: KernelFiles): void {
  cpSync(join(folder, 'lib/modules'), join(root, 'lib/modules'), { recursive: true })
  mkdirSync(join(root, 'boot'), { recursive: true })
  cpSync(join(folder, 'vmlinuz'), join(root, `boot/vmlinuz-${release}`))
  cpSync(join(folder, 'config'), join(root, `boot/config-${release}`))
  symlinkSync(`vmlinuz-${release}`, join(root, 'boot/vmlinuz'))
  const bundled = join(root, 'usr/share/bulkhead/kernel')
  mkdirSync(bundled, { recursive: true })
  cpSync(join(folder, 'vmlinux'), join(bundled, 'vmlinux'))
  writeFileSync(join(bundled, 'release'), `${release}\n`)
  symlinkSync(`/lib/modules/${release}`, join(bundled, 'modules'))
}
