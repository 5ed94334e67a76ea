// The first step of applying a layer: its whiteouts, against the tree that the layers below it made.

import type { ByteString } from '../layer/byte-string.ts'
import type { NamedEntry } from './named-entry.ts'
import { resolveDirectory } from './resolve-directory.ts'
import type { DirectoryNode } from './tree.ts'

/** What a layer itself says about a path: that changes where a whiteout below that path points to. */
type OwnClaim = 'directory' | 'replaced'

/** Removes from the tree what the whiteouts among `entries` hide. */
export function hideLowerLayers(root: DirectoryNode, entries: readonly NamedEntry[]): void {
  const whiteouts = entries.filter(({ role }) => role.role === 'whiteout' || role.role === 'opaque')
  if (whiteouts.length === 0) return
  const claims = ownClaims(entries)
  for (const { role } of whiteouts) {
    if (role.role !== 'whiteout' && role.role !== 'opaque') continue
    const directory = lowerDirectory(root, role.directory, claims)
    if (role.role === 'opaque') directory?.children.clear()
    else directory?.children.delete(role.hidden)
  }
}

function ownClaims(entries: readonly NamedEntry[]): ReadonlyMap<ByteString, OwnClaim> {
  const claims = new Map<ByteString, OwnClaim>()
  for (const { entry, names, role } of entries) {
    if (role.role === 'entry')
      claims.set(names.join('/'), entry.type === 'directory' ? 'directory' : 'replaced')
  }
  for (const { role } of entries) {
    if (role.role === 'whiteout') claims.set([...role.directory, role.hidden].join('/'), 'replaced')
  }
  return claims
}

/**
 * The directory of the lower layers that a whiteout speaks of; null when there is none. Where the layer itself replaces
 * something on the way (a symbolic link by a directory, say), the lower layers have nothing there that could be hidden;
 * following the old link would empty a directory that has nothing to do with it.
 */
function lowerDirectory(
  root: DirectoryNode,
  names: readonly ByteString[],
  claims: ReadonlyMap<ByteString, OwnClaim>,
): DirectoryNode | null {
  let here = root
  let path = ''
  for (const [index, name] of names.entries()) {
    path = index === 0 ? name : `${path}/${name}`
    const claim = claims.get(path)
    const child = here.children.get(name)
    if (claim === 'replaced' || (claim === 'directory' && child?.kind !== 'directory')) return null
    if (child?.kind !== 'directory') return resolveDirectory(root, names).directory
    here = child
  }
  return here
}
