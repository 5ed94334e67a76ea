// Finds the directory that an entry goes into, following symbolic links as a process chrooted into the tree would.

import type { ByteString } from '../layer/byte-string.ts'
import type { DirectoryNode } from './tree.ts'

/** As the kernel: more than 40 links is a loop (MAXSYMLINKS, include/linux/namei.h). */
const SYMLINK_HOPS_LIMIT = 40

export type Resolution =
  | { readonly directory: DirectoryNode }
  | { readonly directory: null; readonly reason: string }

/**
 * Follows `names` from the root. Where a directory is missing, `makeMissing` makes it, or the resolution fails.
 * `..` in link targets stops at the root.
 */
export function resolveDirectory(
  root: DirectoryNode,
  names: readonly ByteString[],
  makeMissing?: () => DirectoryNode,
): Resolution {
  const trail: DirectoryNode[] = []
  let here = root
  let hops = 0
  const pending = names.toReversed()
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      here = trail.pop() ?? root
      continue
    }
    let child = here.children.get(name)
    if (child === undefined) {
      if (makeMissing === undefined) return failure(name, 'does not exist')
      child = makeMissing()
      here.children.set(name, child)
    }
    if (child.kind === 'directory') {
      trail.push(here)
      here = child
    } else if (child.kind === 'symlink') {
      if (++hops > SYMLINK_HOPS_LIMIT) return failure(name, 'leads through too many symbolic links')
      if (child.target.startsWith('/')) {
        trail.length = 0
        here = root
      }
      pending.push(...child.target.split('/').reverse())
    } else {
      return failure(name, 'is not a directory')
    }
  }
  return { directory: here }
}

function failure(name: ByteString, problem: string): Resolution {
  const readable = Buffer.from(name, 'latin1').toString('utf8')
  return { directory: null, reason: `${JSON.stringify(readable)} on the way to it ${problem}` }
}
