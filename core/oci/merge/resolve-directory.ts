// Finds the directory that an entry goes into, following symbolic links as a process chrooted into the tree would.

import type { ByteString } from '../layer/byte-string.ts'
import type { DirectoryNode } from './tree.ts'

/** As the kernel: more than 40 links is a loop (MAXSYMLINKS, include/linux/namei.h). */
const SYMLINK_HOPS_LIMIT = 40

export type Resolution =
  | { readonly directory: DirectoryNode }
  | { readonly directory: null; readonly reason: string }

/**
 * Follows `names` from the root. Where a directory is missing, `makeMissing` makes it, or the resolution fails; but one
 * that a link target leaves again by `..` need not be there (as in containerd's RootPath and umoci's securejoin).
 * `..` in link targets stops at the root.
 */
export function resolveDirectory(
  root: DirectoryNode,
  names: readonly ByteString[],
  makeMissing?: () => DirectoryNode,
): Resolution {
  const trail: DirectoryNode[] = []
  /** Names below `here` that are not there. */
  const missing: ByteString[] = []
  let here = root
  let hops = 0
  const pending = names.toReversed()
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (name === '' || name === '.') continue
    if (name === '..') {
      if (missing.pop() === undefined) here = trail.pop() ?? root
      continue
    }
    const child = missing.length === 0 ? here.children.get(name) : undefined
    if (child === undefined) {
      missing.push(name)
    } else if (child.kind === 'directory') {
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
  for (const name of missing) {
    if (makeMissing === undefined) return failure(name, 'does not exist')
    const made = makeMissing()
    here.children.set(name, made)
    here = made
  }
  return { directory: here }
}

function failure(name: ByteString, problem: string): Resolution {
  const readable = Buffer.from(name, 'latin1').toString('utf8')
  return { directory: null, reason: `${JSON.stringify(readable)} on the way to it ${problem}` }
}
