// Which files of /lib/modules/RELEASE must be loaded, and in which order, to have the wanted kernel modules.
// Source of the formats: kmod's modules.dep(5), modules.builtin and modules.softdep as depmod(8) writes them.

import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { isSystemError } from '../../sys/system-error.ts'
import { KernelError } from './kernel-error.ts'

export interface PlannedModule {
  /** With underscores, as in /proc/modules. */
  readonly name: string
  /** Absolute path of the file, compressed or not. */
  readonly path: string
}

export interface ModulePlan {
  /** In load order: everything a module needs comes before it. */
  readonly modules: readonly PlannedModule[]
  /** Wanted names that are part of the kernel itself. */
  readonly builtIn: readonly string[]
  /** Wanted names that this kernel does not have at all. */
  readonly missing: readonly string[]
}

/**
 * Resolves names (`xen-gntalloc` or `xen_gntalloc`) against the module folder of one kernel release, with
 * hard dependencies and the `pre:` soft ones. Throws `kernel.no-modules` when the folder has no modules.dep.
 */
export async function planModules(moduleDir: string, names: readonly string[]): Promise<ModulePlan> {
  const index = await readIndex(moduleDir)
  const order = new Map<string, PlannedModule>()
  const builtIn: string[] = []
  const missing: string[] = []
  for (const wanted of names) {
    const name = canonical(wanted)
    if (index.pathByName.has(name)) addWithDependencies(index, name, order)
    else if (index.builtIn.has(name)) builtIn.push(name)
    else missing.push(name)
  }
  return {
    modules: [...order.values()].map(({ name, path }) => ({ name, path: join(moduleDir, path) })),
    builtIn,
    missing,
  }
}

interface ModuleIndex {
  readonly pathByName: ReadonlyMap<string, string>
  /** Paths each module needs; depmod lists all of them, the nearest first. */
  readonly dependencies: ReadonlyMap<string, readonly string[]>
  readonly softDependencies: ReadonlyMap<string, readonly string[]>
  /** Module names by exact alias; patterns are for hardware and of no use here. */
  readonly aliases: ReadonlyMap<string, readonly string[]>
  readonly builtIn: ReadonlySet<string>
}

/** Depth first; a module is entered into the order after what it needs. */
function addWithDependencies(
  index: ModuleIndex,
  name: string,
  order: Map<string, PlannedModule>,
  parents: readonly string[] = [],
): void {
  const path = index.pathByName.get(name)
  if (path === undefined || order.has(name) || parents.includes(name)) return
  const lineage = [...parents, name]
  for (const soft of index.softDependencies.get(name) ?? []) {
    for (const target of index.pathByName.has(soft) ? [soft] : (index.aliases.get(soft) ?? [])) {
      addWithDependencies(index, target, order, lineage)
    }
  }
  for (const needed of [...(index.dependencies.get(name) ?? [])].reverse()) {
    addWithDependencies(index, nameOf(needed), order, lineage)
  }
  order.set(name, { name, path })
}

async function readIndex(moduleDir: string): Promise<ModuleIndex> {
  const dependencyLines = await readLines(moduleDir, 'modules.dep')
  if (dependencyLines === undefined) {
    throw new KernelError(
      'no-modules',
      `Cannot find kernel modules: there is no ${join(moduleDir, 'modules.dep')}`,
      {
        hint: 'Install the modules of this kernel (on Debian: its linux-image package), or use a kernel with everything built in.',
      },
    )
  }
  const pathByName = new Map<string, string>()
  const dependencies = new Map<string, string[]>()
  for (const line of dependencyLines) {
    const colon = line.indexOf(':')
    if (colon < 0) continue
    const path = line.slice(0, colon)
    const name = nameOf(path)
    pathByName.set(name, path)
    dependencies.set(name, words(line.slice(colon + 1)))
  }
  return {
    pathByName,
    dependencies,
    softDependencies: readSoftDependencies((await readLines(moduleDir, 'modules.softdep')) ?? []),
    aliases: readAliases((await readLines(moduleDir, 'modules.alias')) ?? []),
    builtIn: new Set(((await readLines(moduleDir, 'modules.builtin')) ?? []).map(nameOf)),
  }
}

/** Lines such as `softdep ext4 pre: crc32c post: other`. */
function readSoftDependencies(lines: readonly string[]): Map<string, string[]> {
  const dependencies = new Map<string, string[]>()
  for (const line of lines) {
    const [keyword, name, ...rest] = words(line)
    if (keyword !== 'softdep' || name === undefined) continue
    const start = rest.indexOf('pre:')
    if (start < 0) continue
    const end = rest.indexOf('post:')
    const needed = rest.slice(start + 1, end > start ? end : rest.length)
    dependencies.set(canonical(name), needed.map(canonical))
  }
  return dependencies
}

/** Lines such as `alias crc32c crc32c_generic`. */
function readAliases(lines: readonly string[]): Map<string, string[]> {
  const aliases = new Map<string, string[]>()
  for (const line of lines) {
    const [keyword, alias, module] = words(line)
    if (keyword !== 'alias' || alias === undefined || module === undefined || /[*?[]/.test(alias)) continue
    const key = canonical(alias)
    aliases.set(key, [...(aliases.get(key) ?? []), canonical(module)])
  }
  return aliases
}

async function readLines(moduleDir: string, name: string): Promise<string[] | undefined> {
  try {
    return (await readFile(join(moduleDir, name), 'utf8'))
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined
    throw error
  }
}

function nameOf(path: string): string {
  return canonical(basename(path).replace(/\.ko(\.(gz|xz|zst))?$/, ''))
}

/** The kernel treats - and _ in module names alike. */
function canonical(name: string): string {
  return name.replaceAll('-', '_')
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}
