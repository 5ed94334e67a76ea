// The first step of applying a layer: its whiteouts, against the tree that the layers below it made.

import type { ByteString } from '../layer/byte-string.ts'
import type { LayerIndex } from '../layer/read-layer.ts'
import { nameEntry } from './named-entry.ts'
import { resolveDirectory } from './resolve-directory.ts'
import type { DirectoryNode } from './tree.ts'
import { type OpaqueMark, WHITEOUT_PREFIX, type Whiteout } from './whiteout.ts'

/** What a layer itself says about a path: that changes where a whiteout below that path points to. */
type OwnClaim = 'directory' | 'replaced'

/**
 * Removes from the tree what the whiteouts of a layer hide; yields now and then, so that the caller can do so too. Throws
 * `oci.corrupt-layer` for malformed ones.
 */
export function* hideLowerLayers(root: DirectoryNode, layer: LayerIndex): Generator<void, void, void> {
  const whiteouts: (Whiteout | OpaqueMark)[] = []
  for (const entry of layer.entries) {
    yield
    // Taking every path apart twice would double the time of the merge.
    if (!entry.path.includes(WHITEOUT_PREFIX)) continue
    const { role } = nameEntry(layer, entry)
    if (role.role === 'whiteout' || role.role === 'opaque') whiteouts.push(role)
  }
  if (whiteouts.length === 0) return
  const claims = yield* ownClaims(layer, whiteouts)
  for (const whiteout of whiteouts) {
    const children = lowerDirectory(root, whiteout.directory, claims)?.children
    if (whiteout.role === 'opaque') children?.clear()
    else children?.delete(whiteout.hidden)
  }
}

/** What the layer says about the paths that its whiteouts lead through. */
function* ownClaims(
  layer: LayerIndex,
  whiteouts: readonly (Whiteout | OpaqueMark)[],
): Generator<void, ReadonlyMap<ByteString, OwnClaim>, void> {
  const onTheWay = new Set(whiteouts.flatMap(({ directory }) => pathsTo(directory)))
  const claims = new Map<ByteString, OwnClaim>()
  for (const entry of layer.entries) {
    yield
    const { names, role } = nameEntry(layer, entry)
    const path = role.role === 'entry' ? names.join('/') : ''
    if (onTheWay.has(path)) claims.set(path, entry.type === 'directory' ? 'directory' : 'replaced')
  }
  for (const whiteout of whiteouts) {
    if (whiteout.role === 'whiteout')
      claims.set([...whiteout.directory, whiteout.hidden].join('/'), 'replaced')
  }
  return claims
}

function pathsTo(directory: readonly ByteString[]): ByteString[] {
  return directory.map((_, index) => directory.slice(0, index + 1).join('/'))
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
