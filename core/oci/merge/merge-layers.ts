// Merges layers into one tree by the image-spec's rules (layer.md, "Applying Changesets"). Each layer takes two steps:
// first all of its whiteouts, against what the lower layers made, then all of its entries; so that a whiteout never hides
// anything of its own layer, wherever it stands in the tar.

import { Breather } from '../breather.ts'
import { OciError } from '../errors.ts'
import { type ByteString, quoted } from '../layer/byte-string.ts'
import type { LayerIndex } from '../layer/read-layer.ts'
import type { ExtendedAttributes, TarEntry } from '../layer/tar-entry.ts'
import { LIMITS } from '../limits.ts'
import { entryNames } from './entry-path.ts'
import { hideLowerLayers } from './hide-lower-layers.ts'
import { invalidEntry, type NamedEntry, nameEntry } from './named-entry.ts'
import { resolveDirectory } from './resolve-directory.ts'
import { type Attributes, type DirectoryNode, implicitDirectory, type TreeNode } from './tree.ts'

/** Overlayfs of the guest would obey these if they came out of an image (Documentation/filesystems/overlayfs.rst). */
const OVERLAY_XATTR_PREFIX = 'trusted.overlay.'
/** Files that eStargz puts into the root of its layers for its own use. */
const STARGZ_FILES: ReadonlySet<ByteString> = new Set([
  'stargz.index.json',
  '.prefetch.landmark',
  '.no.prefetch.landmark',
])

/**
 * The root file system that the layers, bottom first, make together. Throws `oci.corrupt-layer` naming layer and path
 * when an entry cannot be placed, and `oci.limit` when the tree grows too large.
 */
export function mergeLayers(layers: readonly LayerIndex[]): DirectoryNode {
  const merging = mergeInSteps(layers)
  for (;;) {
    const { done, value } = merging.next()
    if (done === true) return value
  }
}

/** As `mergeLayers`, without keeping the process from anything else. Throws `oci.cancelled` too. */
export async function mergeLayersInTurns(
  layers: readonly LayerIndex[],
  signal: AbortSignal | undefined,
): Promise<DirectoryNode> {
  const breather = new Breather(signal, 'merge the layers')
  const merging = mergeInSteps(layers)
  for (;;) {
    const { done, value } = merging.next()
    if (done === true) return value
    if (breather.isDue()) await breather.breathe()
  }
}

function* mergeInSteps(layers: readonly LayerIndex[]): Generator<void, DirectoryNode, void> {
  const merger = new Merger()
  for (const [position, layer] of layers.entries()) yield* merger.apply(layer, position)
  return merger.root
}

class Merger {
  readonly root = implicitDirectory()
  #nodeCount = 1

  #place(layer: LayerIndex, position: number, { entry, names }: NamedEntry): void {
    const name = names.at(-1)
    if (name === undefined) {
      if (entry.type !== 'directory') throw invalidEntry(layer, entry, 'the root can only be a directory')
      Object.assign(this.root, attributesOf(entry))
      return
    }
    if (names.length === 1 && STARGZ_FILES.has(name)) return
    const resolution = resolveDirectory(this.root, names.slice(0, -1), () =>
      this.#counted(implicitDirectory()),
    )
    if (resolution.directory === null) throw invalidEntry(layer, entry, resolution.reason)
    const siblings = resolution.directory.children
    if (entry.type === 'hardlink') {
      // As in containerd and umoci, what the link replaces is gone before its target is looked up.
      siblings.delete(name)
      const target = this.#linkTarget(layer, entry)
      target.isLinked = true
      siblings.set(name, target)
      return
    }
    const existing = siblings.get(name)
    if (entry.type === 'directory' && existing?.kind === 'directory') {
      Object.assign(existing, attributesOf(entry))
      return
    }
    siblings.set(name, this.#counted(nodeOf(layer, position, entry)))
  }

  /** The node that a hard link names: of this layer or a lower one, but not of what is hidden by now. */
  #linkTarget(layer: LayerIndex, entry: TarEntry): Exclude<TreeNode, DirectoryNode> {
    const names = entryNames(entry.linkTarget)
    const describe = `the hard link's target ${quoted(entry.linkTarget)}`
    if (!Array.isArray(names)) throw invalidEntry(layer, entry, `${describe}: ${names.reason}`, names.which)
    const name = names.at(-1)
    if (name === undefined) throw invalidEntry(layer, entry, `${describe} is the root`)
    const resolution = resolveDirectory(this.root, names.slice(0, -1))
    if (resolution.directory === null) throw invalidEntry(layer, entry, `${describe}: ${resolution.reason}`)
    const target = resolution.directory.children.get(name)
    if (target === undefined) throw invalidEntry(layer, entry, `${describe} does not exist`)
    if (target.kind === 'directory') throw invalidEntry(layer, entry, `${describe} is a directory`)
    return target
  }

  #counted<Node extends TreeNode>(node: Node): Node {
    if (++this.#nodeCount <= LIMITS.imageEntries) return node
    throw new OciError(
      'oci.limit',
      `Cannot merge the layers: they hold more than ${LIMITS.imageEntries} files and directories`,
      { data: { which: 'imageEntries' } },
    )
  }

  *apply(layer: LayerIndex, position: number): Generator<void, void, void> {
    yield* hideLowerLayers(this.root, layer)
    for (const entry of layer.entries) {
      yield
      const named = nameEntry(layer, entry)
      if (named.role.role === 'entry') this.#place(layer, position, named)
    }
  }
}

function nodeOf(layer: LayerIndex, position: number, entry: TarEntry): TreeNode {
  const attributes = attributesOf(entry)
  switch (entry.type) {
    case 'directory':
      return { kind: 'directory', ...attributes, children: new Map() }
    case 'file':
      return {
        kind: 'file',
        ...attributes,
        sizeBytes: entry.sizeBytes,
        layer: position,
        ordinal: entry.ordinal,
      }
    case 'symlink': {
      const target = entry.linkTarget
      if (target === '' || target.length > 4095)
        throw invalidEntry(layer, entry, `its link target has ${target.length} bytes; Linux allows 1 to 4095`)
      return { kind: 'symlink', ...attributes, target }
    }
    case 'character-device':
    case 'block-device':
      return { kind: entry.type, ...attributes, ...deviceNumbers(layer, entry) }
    case 'fifo':
      return { kind: 'fifo', ...attributes }
    case 'hardlink':
      throw invalidEntry(layer, entry, 'a hard link is no object of its own')
  }
}

/** Linux keeps 12 bits of major and 20 bits of minor number (include/linux/kdev_t.h). */
function deviceNumbers(layer: LayerIndex, entry: TarEntry): { major: number; minor: number } {
  const { deviceMajor: major, deviceMinor: minor } = entry
  if (major < 0 || major > 0xfff || minor < 0 || minor > 0xfffff)
    throw invalidEntry(layer, entry, `Linux has no device ${major}:${minor}`)
  return { major, minor }
}

function attributesOf(entry: TarEntry): Attributes {
  const { mode, uid, gid, mtimeSeconds } = entry
  return { mode, uid, gid, mtimeSeconds, xattrs: withoutOverlay(entry.xattrs) }
}

function withoutOverlay(xattrs: ExtendedAttributes | null): ExtendedAttributes | null {
  if (xattrs === null) return null
  const kept = [...xattrs].filter(([name]) => !name.startsWith(OVERLAY_XATTR_PREFIX))
  if (kept.length === xattrs.size) return xattrs
  return kept.length === 0 ? null : new Map(kept)
}
