// The order in which kernel modules have to be loaded, from depmod's files.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { LabError } from '../errors.ts'

/**
 * Paths of `names` and of all that they need, relative to `modulesFolder` (`…/lib/modules/RELEASE`), each after what
 * it needs. What is built into the kernel is left out. Throws `lab.kernel` for a name that the kernel does not have.
 */
export function loadOrder(modulesFolder: string, names: readonly string[]): string[] {
  const known = new Map<string, { path: string; needs: string[] }>()
  // One line a module: "kernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko kernel/fs/mbcache.ko"
  for (const line of readFileSync(join(modulesFolder, 'modules.dep'), 'utf8').split('\n')) {
    const [path, needs] = line.split(':')
    if (path) known.set(moduleName(path), { path, needs: needs?.trim().split(/\s+/).filter(Boolean) ?? [] })
  }
  const builtIn = readFileSync(join(modulesFolder, 'modules.builtin'), 'utf8').split('\n').map(moduleName)
  const order: string[] = []
  const add = (name: string) => {
    const entry = known.get(name)
    if (!entry) {
      if (builtIn.includes(name)) return
      throw new LabError(
        'lab.kernel',
        `Cannot build the lab: the kernel has no module ${name} in ${modulesFolder}`,
      )
    }
    for (const needed of entry.needs) add(moduleName(needed))
    if (!order.includes(entry.path)) order.push(entry.path)
  }
  for (const name of names) add(moduleName(name))
  return order
}

function moduleName(path: string): string {
  return (path.split('/').pop() ?? '').replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_')
}
