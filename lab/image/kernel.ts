// The kernel of dom0 and of guests: Debian's package reduced to what virtual machines use, with the kernel unpacked
// and the modules' dependency files written.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { LabError } from '../errors.ts'
import { runTool } from '../run-tool.ts'
import { buildOnce } from './build-once.ts'
import { contentKey } from './content-key.ts'
import type { DebianPackage } from './fetch-packages.ts'
import { extractVmlinux } from './vmlinux.ts'

export interface KernelFiles {
  /** Such as `6.1.0-56-amd64`. */
  readonly release: string
  /** Holds `vmlinuz`, `vmlinux`, `config` and `lib/modules/RELEASE`; named by its content. */
  readonly folder: string
}

/** Parts of the module tree for dom0 and for guests: file systems, networking, virtual devices; no real hardware. */
const moduleFolders = [
  'arch',
  'block',
  'crypto',
  'drivers/block',
  'drivers/char',
  'drivers/input/misc',
  'drivers/md',
  'drivers/net/bonding',
  'drivers/net/dummy.ko',
  'drivers/net/ifb.ko',
  'drivers/net/ipvlan',
  'drivers/net/macvlan.ko',
  'drivers/net/macvtap.ko',
  'drivers/net/net_failover.ko',
  'drivers/net/tap.ko',
  'drivers/net/tun.ko',
  'drivers/net/veth.ko',
  'drivers/net/virtio_net.ko',
  'drivers/net/vxlan',
  'drivers/net/wireguard',
  'drivers/net/xen-netback',
  'drivers/net/xen-netfront.ko',
  'drivers/virtio',
  'drivers/xen',
  'fs',
  'lib',
  'mm',
  'net',
]

const recipeVersion = 1

export interface KernelIngredients {
  readonly kernelPackage: DebianPackage
  /** Packages with kmod and the libraries that it needs. */
  readonly toolPackages: readonly DebianPackage[]
}

/** The kernel's files in the cache, built if they are not there. */
export async function kernelFiles(
  cache: LabCache,
  { kernelPackage, toolPackages }: KernelIngredients,
  report: (line: string) => void,
): Promise<KernelFiles> {
  const key = contentKey([recipeVersion, moduleFolders, kernelPackage.fileName])
  const folder = join(cache.images, `kernel-${key}`)
  await buildOnce(folder, async (workFolder) => {
    report(`Unpacking ${kernelPackage.name}`)
    const unpacked = join(workFolder, 'package')
    await runTool(['dpkg-deb', '-x', kernelPackage.path, unpacked])
    const tools = join(workFolder, 'tools')
    for (const one of toolPackages) await runTool(['dpkg-deb', '-x', one.path, tools])
    const result = join(workFolder, 'kernel')
    mkdirSync(result)
    const release = releaseIn(unpacked)
    cpSync(join(unpacked, `boot/vmlinuz-${release}`), join(result, 'vmlinuz'))
    cpSync(join(unpacked, `boot/config-${release}`), join(result, 'config'))
    writeFileSync(join(result, 'vmlinux'), await extractVmlinux(readFileSync(join(result, 'vmlinuz'))))
    copyModules(unpacked, result, release)
    await depmod(tools, result, release)
    return result
  })
  return { release: releaseIn(folder), folder }
}

function copyModules(unpacked: string, result: string, release: string): void {
  const [source, target] = [unpacked, result].map((root) => join(root, 'lib/modules', release)) as [
    string,
    string,
  ]
  mkdirSync(target, { recursive: true })
  for (const file of ['modules.builtin', 'modules.builtin.modinfo', 'modules.order']) {
    cpSync(join(source, file), join(target, file))
  }
  for (const part of moduleFolders.map((name) => join('kernel', name))) {
    if (!existsSync(join(source, part))) continue
    mkdirSync(dirname(join(target, part)), { recursive: true })
    cpSync(join(source, part), join(target, part), { recursive: true })
  }
}

/** Runs Debian's own depmod, by its own loader and libraries: the host may have none, or a foreign one. */
async function depmod(tools: string, root: string, release: string): Promise<void> {
  const libraries = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].map((folder) => join(tools, folder))
  await runTool([
    join(tools, 'lib64/ld-linux-x86-64.so.2'),
    ...['--argv0', 'depmod', '--library-path', libraries.join(':')],
    ...[join(tools, 'bin/kmod'), '-b', root, release],
  ])
}

function releaseIn(folder: string): string {
  const release = readdirSync(join(folder, 'lib/modules'))[0]
  if (!release) throw new LabError('lab.kernel', 'Cannot build the lab: the kernel package has no modules')
  return release
}
