// Fetches Debian packages into the cache with apt, as any user and without installing anything.
// apt checks the signatures and the sums; a file that is in the cache already is not fetched again.

import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabCache } from '../cache.ts'
import { LabError } from '../errors.ts'
import { runTool } from '../run-tool.ts'

export interface DebianPackage {
  readonly name: string
  /** Name, version and architecture: `xenstore-utils_4.17.7+13-g2445b30a44-0+deb12u1_amd64.deb`. */
  readonly fileName: string
  readonly path: string
}

export interface FetchOptions {
  readonly cache: LabCache
  readonly report: (line: string) => void
}

/** The package whose file in the cache is called `fileName`. */
export function packageIn(cache: LabCache, fileName: string): DebianPackage {
  return { name: fileName.slice(0, fileName.indexOf('_')), fileName, path: join(cache.packages, fileName) }
}

/** The package that the kernel's meta package stands for, such as `linux-image-6.1.0-56-amd64`. */
export async function resolveKernelPackage(
  metaPackage: string,
  aptOptions: readonly string[],
): Promise<string> {
  const answer = (await runTool(['apt-cache', ...aptOptions, 'depends', metaPackage])).toString()
  const name = /Depends: (linux-image-\d\S*)/.exec(answer)?.[1]
  if (name === undefined)
    throw new LabError('lab.packages', `Cannot find a kernel: ${metaPackage} names none`)
  return name
}

/** The packages called `names` as files in the cache, in their order. Rejects when apt does not have one. */
export async function fetchPackages(
  names: readonly string[],
  aptOptions: readonly string[],
  { cache, report }: FetchOptions,
): Promise<DebianPackage[]> {
  const packages = await findPackages(names, aptOptions, cache)
  const missing = packages.filter((one) => !existsSync(one.path))
  if (missing.length > 0) {
    report(`Fetching ${missing.length} Debian packages (${missing[0]?.name}, …)`)
    await download(missing, aptOptions, cache)
  }
  return packages
}

async function findPackages(
  names: readonly string[],
  aptOptions: readonly string[],
  cache: LabCache,
): Promise<DebianPackage[]> {
  const command = [...aptOptions, '--print-uris', 'download', ...names]
  const lines = (await runTool(['apt-get', ...command], { cwd: '/' })).toString()
  // One line a package: 'http://…/name_version.deb' name_version.deb SIZE SHA256:…
  const found = new Map<string, DebianPackage>()
  for (const [, fileName] of lines.matchAll(/^'[^']+' (\S+\.deb) /gm)) {
    if (fileName !== undefined) found.set(packageIn(cache, fileName).name, packageIn(cache, fileName))
  }
  return names.map((name) => {
    const one = found.get(name)
    if (!one) throw new LabError('lab.packages', `Cannot fetch ${name}: apt knows no version of it`)
    return one
  })
}

async function download(
  packages: readonly DebianPackage[],
  aptOptions: readonly string[],
  cache: LabCache,
): Promise<void> {
  const folder = await mkdtemp(join(cache.packages, '.fetch-'))
  try {
    const names = packages.map((one) => one.name)
    const command = [...aptOptions, '-o', 'APT::Sandbox::User=', '-q', 'download', ...names]
    await runTool(['apt-get', ...command], { cwd: folder })
    for (const fileName of await readdir(folder))
      await rename(join(folder, fileName), join(cache.packages, fileName))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
