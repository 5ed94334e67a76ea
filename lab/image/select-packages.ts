// Which versions of its packages the lab uses: what apt offered when it was first built. The choice is written down,
// so later starts ask apt nothing, work without a network, and keep their snapshots.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { contentKey } from './content-key.ts'
import { dom0Packages, hypervisorPackage, kernelMetaPackage } from './debian-packages.ts'
import {
  type DebianPackage,
  type FetchOptions,
  fetchPackages,
  resolveKernelPackage,
} from './fetch-packages.ts'

export interface SelectedPackages {
  readonly hypervisor: DebianPackage
  readonly kernel: DebianPackage
  readonly dom0: readonly DebianPackage[]
}

/** The lab's packages as files in the cache, chosen and fetched as needed. */
export async function selectPackages(options: FetchOptions): Promise<SelectedPackages> {
  const wanted = contentKey([hypervisorPackage, kernelMetaPackage, dom0Packages])
  const record = join(options.cache.packages, `selection-${wanted}.json`)
  const known = readSelection(record, options.cache.packages)
  if (known) return split(known)
  const kernel = await resolveKernelPackage(kernelMetaPackage, options)
  const packages = await fetchPackages([hypervisorPackage, kernel, ...dom0Packages], options)
  writeFileSync(`${record}.new`, JSON.stringify(packages.map((one) => one.fileName)))
  renameSync(`${record}.new`, record)
  return split(packages)
}

function readSelection(record: string, folder: string): DebianPackage[] | undefined {
  if (!existsSync(record)) return undefined
  const packages = (JSON.parse(readFileSync(record, 'utf8')) as string[]).map((fileName) => ({
    name: fileName.slice(0, fileName.indexOf('_')),
    fileName,
    path: join(folder, fileName),
  }))
  return packages.every((one) => existsSync(one.path)) ? packages : undefined
}

function split(packages: readonly DebianPackage[]): SelectedPackages {
  const [hypervisor, kernel, ...dom0] = packages
  if (!hypervisor || !kernel) throw new Error('Cannot read the selection of packages: it is too short')
  return { hypervisor, kernel, dom0 }
}
