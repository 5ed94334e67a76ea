// From options to a machine: fetches and builds, in order, all that the lab boots from. Each step is a no-op once
// its result lies in the cache.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { LabCache } from './cache.ts'
import { LabError } from './errors.ts'
import { checkHostTools } from './host-tools.ts'
import { buildOnce } from './image/build-once.ts'
import { contentKey } from './image/content-key.ts'
import type { DebianPackage } from './image/fetch-packages.ts'
import { initramfs } from './image/initramfs.ts'
import { kernelFiles } from './image/kernel.ts'
import { runtimeDisk } from './image/runtime-disk.ts'
import { selectPackages } from './image/select-packages.ts'
import { findNode, labFolder, projectRoot } from './project-files.ts'
import { findAccelerator, type MachineOptions } from './qemu/command-line.ts'
import { runTool } from './run-tool.ts'

export interface MachineSize {
  readonly memoryMiB: number
  readonly dom0MemoryMiB: number
}

/** Everything the machine of `size` boots from, fetched and built as needed (about a minute the first time). */
export async function buildMachineParts(
  cache: LabCache,
  size: MachineSize,
  report: (line: string) => void,
): Promise<MachineOptions> {
  checkHostTools()
  const node = findNode(projectRoot())
  const packages = await selectPackages({ cache, report })
  const kernel = await kernelFiles(
    cache,
    { kernelPackage: packages.kernel, toolPackages: packages.dom0 },
    report,
  )
  const tools = await unpackBootTools(cache, packages.hypervisor, packages.dom0)
  const runtime = await runtimeDisk(cache, { packages: packages.dom0, kernel, node }, report)
  return {
    ...size,
    accelerator: await findAccelerator(),
    xen: tools.xen,
    vmlinux: join(kernel.folder, 'vmlinux'),
    runtimeDisk: runtime,
    initramfs: await initramfs(cache, {
      kernel,
      busybox: tools.busybox,
      labFolder: labFolder(),
      node: node.path,
    }),
  }
}

async function unpackBootTools(cache: LabCache, hypervisor: DebianPackage, dom0: readonly DebianPackage[]) {
  const busybox = dom0.find((one) => one.name === 'busybox-static')
  if (!busybox)
    throw new LabError('lab.packages', 'Cannot build the lab: busybox-static is not among its packages')
  const folder = join(cache.images, `boot-${contentKey([hypervisor.fileName, busybox.fileName])}`)
  await buildOnce(folder, async (workFolder) => {
    const unpacked = join(workFolder, 'unpacked')
    const result = join(workFolder, 'boot')
    mkdirSync(result)
    for (const one of [hypervisor, busybox]) await runTool(['dpkg-deb', '-x', one.path, unpacked])
    const xen = readdirSync(join(unpacked, 'boot')).find((name) => /^xen-.*\.gz$/.test(name))
    if (!xen)
      throw new LabError('lab.packages', `Cannot build the lab: ${hypervisor.fileName} has no hypervisor`)
    writeFileSync(join(result, 'xen'), gunzipSync(readFileSync(join(unpacked, 'boot', xen))))
    await runTool(['cp', join(unpacked, 'bin/busybox'), join(result, 'busybox')])
    return result
  })
  return { xen: join(folder, 'xen'), busybox: join(folder, 'busybox') }
}
