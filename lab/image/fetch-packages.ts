// Fetches Debian packages into the cache with apt, as any user and without installing anything.
// apt checks the signatures and the sums; a file that is in the cache already is not fetched again.

import { existsSync, mkdirSync, renameSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
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
  readonly signal?: AbortSignal | undefined
}

/** The packages in `names` as files in the cache, in their order. Rejects with `lab.packages` when apt cannot provide one. */
export async function fetchPackages(
  names: readonly string[],
  options: FetchOptions,
): Promise<DebianPackage[]> {
  const { packages, aptOptions } = await locate(names, options)
  const missing = packages.filter((one) => !existsSync(one.path))
  if (missing.length > 0) {
    options.report(`Fetching ${missing.length} Debian packages (${missing[0]?.name}, …)`)
    await download(missing, aptOptions, options)
  }
  return packages
}

/** The name of the kernel package that the meta package stands for, such as `linux-image-6.1.0-56-amd64`. */
export async function resolveKernelPackage(metaPackage: string, options: FetchOptions): Promise<string> {
  const query = async (aptOptions: readonly string[]) =>
    (await runTool(['apt-cache', ...aptOptions, 'depends', metaPackage])).toString()
  const answer = await query([]).catch(() => '')
  const pattern = /Depends: (linux-image-\d\S*)/
  const name = pattern.exec(answer)?.[1] ?? pattern.exec(await query(await updatePrivateLists(options)))?.[1]
  if (name === undefined) {
    throw new LabError(
      'lab.packages',
      `Cannot find a kernel for the lab: ${metaPackage} names none in apt's lists`,
    )
  }
  return name
}

async function locate(names: readonly string[], options: FetchOptions) {
  try {
    return { packages: await listUris(names, [], options), aptOptions: [] as readonly string[] }
  } catch {
    const aptOptions = await updatePrivateLists(options)
    try {
      return { packages: await listUris(names, aptOptions, options), aptOptions }
    } catch (cause) {
      throw new LabError('lab.packages', `Cannot find the lab's Debian packages: ${messageOf(cause)}`, {
        hint: 'The lab is made of Debian 12 packages: apt needs a source for bookworm main in /etc/apt.',
        cause,
      })
    }
  }
}

async function listUris(
  names: readonly string[],
  aptOptions: readonly string[],
  { cache, signal }: FetchOptions,
): Promise<DebianPackage[]> {
  const lines = (
    await runTool(['apt-get', ...aptOptions, '--print-uris', 'download', ...names], { signal, cwd: '/' })
  ).toString()
  // One line a package: 'http://…/name_version.deb' name_version.deb SIZE SHA256:…
  const byName = new Map<string, DebianPackage>()
  for (const [, fileName] of lines.matchAll(/^'[^']+' (\S+\.deb) /gm)) {
    if (fileName === undefined) continue
    const name = fileName.slice(0, fileName.indexOf('_'))
    byName.set(name, { name, fileName, path: join(cache.packages, fileName) })
  }
  return names.map((name) => {
    const found = byName.get(name)
    if (!found) throw new LabError('lab.packages', `Cannot fetch ${name}: apt knows no version of it`)
    return found
  })
}

async function download(
  packages: readonly DebianPackage[],
  aptOptions: readonly string[],
  options: FetchOptions,
): Promise<void> {
  const folder = await mkdtemp(join(options.cache.packages, '.fetch-'))
  const names = packages.map((one) => one.name)
  const attempt = (extra: readonly string[]) =>
    runTool(['apt-get', ...extra, '-o', 'APT::Sandbox::User=', '-q', 'download', ...names], {
      cwd: folder,
      signal: options.signal,
    })
  try {
    // Lists that are months old name versions that the mirror has dropped; fresh private ones help.
    await attempt(aptOptions).catch(async () => attempt(await updatePrivateLists(options)))
    for (const fileName of await readdir(folder)) {
      renameSync(join(folder, fileName), join(options.cache.packages, fileName))
    }
  } catch (cause) {
    throw new LabError('lab.packages', `Cannot fetch the lab's Debian packages: ${messageOf(cause)}`, {
      hint: 'The first start of the lab needs a Debian mirror; check the network and the sources in /etc/apt.',
      cause,
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Fetches package lists into the cache, for machines whose own lists are empty or old; returns the apt options that use them. */
async function updatePrivateLists({ cache, report, signal }: FetchOptions): Promise<readonly string[]> {
  const state = join(cache.packages, 'apt')
  mkdirSync(join(state, 'lists', 'partial'), { recursive: true })
  mkdirSync(join(state, 'cache', 'archives', 'partial'), { recursive: true })
  const aptOptions = [
    ...['-o', `Dir::State=${state}`],
    ...['-o', `Dir::State::lists=${join(state, 'lists')}`, '-o', 'Dir::State::status=/var/lib/dpkg/status'],
    ...['-o', `Dir::Cache=${join(state, 'cache')}`],
    ...['-o', 'APT::Sandbox::User='],
  ]
  report('Fetching the list of Debian packages')
  try {
    await runTool(['apt-get', ...aptOptions, '-q', 'update'], { signal })
  } catch (cause) {
    throw new LabError('lab.packages', `Cannot fetch the list of Debian packages: ${messageOf(cause)}`, {
      hint: 'Check the network and the sources in /etc/apt, then try again.',
      cause,
    })
  }
  return aptOptions
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
