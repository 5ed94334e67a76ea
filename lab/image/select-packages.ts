// Which versions of its packages the lab uses: what apt offered when it was first built. The choice is written down,
// so later starts ask apt nothing, work without a network, and keep their snapshots.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { LabError } from '../errors.ts'
import { aptSources } from './apt-source.ts'
import { contentKey } from './content-key.ts'
import { dom0Packages, hypervisorPackage, kernelMetaPackage } from './debian-packages.ts'
import {
  type DebianPackage,
  type FetchOptions,
  fetchPackages,
  packageIn,
  resolveKernelPackage,
} from './fetch-packages.ts'

export interface SelectedPackages {
  readonly hypervisor: DebianPackage
  readonly kernel: DebianPackage
  readonly dom0: readonly DebianPackage[]
}

/** The lab's packages as files in the cache, chosen and fetched as needed. Rejects with `lab.packages`. */
export async function selectPackages(options: FetchOptions): Promise<SelectedPackages> {
  const { cache, report } = options
  const wanted = contentKey([hypervisorPackage, kernelMetaPackage, dom0Packages])
  const record = join(cache.packages, `selection-${wanted}.json`)
  const known = readSelection(record, cache)
  if (known) return split(known)

  const reasons: string[] = []
  for (const source of aptSources(cache, report)) {
    try {
      const aptOptions = await source.prepare()
      const kernel = await resolveKernelPackage(kernelMetaPackage, aptOptions)
      const packages = await fetchPackages([hypervisorPackage, kernel, ...dom0Packages], aptOptions, options)
      writeFileSync(`${record}.new`, JSON.stringify(packages.map((one) => one.fileName)))
      renameSync(`${record}.new`, record)
      return split(packages)
    } catch (cause) {
      reasons.push(`from ${source.name}: ${cause instanceof Error ? cause.message : String(cause)}`)
    }
  }
  throw new LabError(
    'lab.packages',
    `Cannot fetch the Debian 12 packages that the lab is made of\n${reasons.join('\n')}`,
    {
      hint: 'The first start of the lab needs a Debian 12 mirror: check the network, the sources in /etc/apt, and on other systems that the package debian-archive-keyring is installed.',
    },
  )
}

function readSelection(record: string, cache: LabCache): DebianPackage[] | undefined {
  if (!existsSync(record)) return undefined
  const fileNames = JSON.parse(readFileSync(record, 'utf8')) as string[]
  const packages = fileNames.map((fileName) => packageIn(cache, fileName))
  return packages.every((one) => existsSync(one.path)) ? packages : undefined
}

function split(packages: readonly DebianPackage[]): SelectedPackages {
  const [hypervisor, kernel, ...dom0] = packages
  if (!hypervisor || !kernel)
    throw new LabError('lab.packages', 'Cannot read the selection of packages: it is too short')
  return { hypervisor, kernel, dom0 }
}
