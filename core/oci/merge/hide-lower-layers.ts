// The first step of applying a layer: its whiteouts, against the tree that the layers below it made.

import type { ByteString } from '../layer/byte-string.ts'
import type { LayerIndex } from '../layer/read-layer.ts'
import { nameEntry } from './named-entry.ts'
import { resolveDirectory } from './resolve-directory.ts'
import type { DirectoryNode } from './tree.ts'
import type { OpaqueMark, Whiteout } from './whiteout.ts'

/** What a layer itself says about a path: that changes where a whiteout below that path points to. */
type OwnClaim = 'directory' | 'replaced'

/** Removes from the tree what the whiteouts of a layer hide. Throws `oci.corrupt-layer` for malformed ones. */
export function hideLowerLayers(root: DirectoryNode, layer: LayerIndex): void {
  const whiteouts: (Whiteout | OpaqueMark)[] = []
  for (const entry of layer.entries) {
    const { role } = nameEntry(layer, entry)
    if (role.role === 'whiteout' || role.role === 'opaque') whiteouts.push(role)
  }
  if (whiteouts.length === 0) return
  const claims = ownClaims(layer, whiteouts)
  for (const whiteout of whiteouts) {
    const children = lowerDirectory(root, whiteout.directory, claims)?.children
    if (whiteout.role === 'opaque') children?.clear()
    else children?.delete(whiteout.hidden)
  }
}

function ownClaims(
  layer: LayerIndex,
  whiteouts: readonly (Whiteout | OpaqueMark)[],
): ReadonlyMap<ByteString, OwnClaim> {
  const claims = new Map<ByteString, OwnClaim>()
  for (const entry of layer.entries) {
    const { names, role } = nameEntry(layer, entry)
    if (role.role === 'entry')
      claims.set(names.join('/'), entry.type === 'directory' ? 'directory' : 'replaced')
  }
  for (const whiteout of whiteouts) {
    if (whiteout.role === 'whiteout')
      claims.set([...whiteout.directory, whiteout.hidden].join('/'), 'replaced')
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
