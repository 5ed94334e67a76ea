// Makes random stacks of layers: trees that grow, change and are hidden from layer to layer, with every kind of entry.
// The same seed always makes the same stack.

import type { LayerIndex } from '../../../core/oci/layer/read-layer.ts'
import { parseTar } from '../../../core/oci/layer/testing/parse-tar.ts'
import {
  directory,
  file,
  hardlink,
  symlink,
  type TarMember,
  tarOf,
} from '../../../core/oci/layer/testing/tar-writer.ts'
import { mergeLayers } from '../../../core/oci/merge/merge-layers.ts'
import type { DirectoryNode, TreeNode } from '../../../core/oci/merge/tree.ts'
import { pick, type Random, randomNumbers } from './random-numbers.ts'

const NAMES = ['a', 'b', 'c', 'lib', 'caf\xc3\xa9', '.hidden', 'with space', 'x\\y']

/** The layers of a random image, bottom first. */
export function randomStack(seed: number, layerCount = 4, entriesPerLayer = 14): TarMember[][] {
  const random = randomNumbers(seed)
  const layers: TarMember[][] = []
  for (let position = 0; position < layerCount; position++)
    layers.push(
      position === 0 ? firstLayer(random, entriesPerLayer) : laterLayer(random, layers, entriesPerLayer),
    )
  return layers
}

function firstLayer(random: Random, entryCount: number): TarMember[] {
  const members = [directory('./', attributes(random, 0o755))]
  for (let count = 0; count < entryCount; count++) members.push(entry(random, [members], true))
  return members
}

/**
 * Whiteouts come first in the tar, because umoci lets plain ones hide what their own layer has put there before them,
 * and late opaque ones change times of directories. Ours follows the image-spec; table tests cover that.
 */
function laterLayer(random: Random, lower: readonly TarMember[][], entryCount: number): TarMember[] {
  const paths = pathsOf(mergeMembers(lower))
  const whiteouts = times(random(4), () => pick(random, paths.all)).flatMap((path) =>
    path === '' ? [] : [file(inDirectory(path, (name) => `.wh.${name}`))],
  )
  const opaques = times(random(2), () => file(join(pick(random, paths.directories), '.wh..wh..opq')))
  const members = [...whiteouts, ...opaques]
  for (let count = 0; count < entryCount; count++)
    members.push(entry(random, [...lower, members], opaques.length === 0))
  return members
}

/** An entry that fits into the tree that the layers make so far. */
function entry(
  random: Random,
  layers: readonly (readonly TarMember[])[],
  mayFollowLinks: boolean,
): TarMember {
  const paths = pathsOf(mergeMembers(layers))
  const isThroughLink = mayFollowLinks && paths.links.length > 0 && random(6) === 0
  const parent = pick(random, isThroughLink ? paths.links : paths.directories)
  const path = join(parent, pick(random, NAMES))
  switch (random(12)) {
    case 0:
    case 1:
    case 2:
      return directory(path, attributes(random, 0o755))
    case 3:
      return symlink(
        path,
        pick(random, [...paths.directories.map((target) => `/${target}`), 'no/where', '..', '.']),
      )
    case 4: {
      const target = pick(random, paths.others)
      const isReplaced = isThroughLink || `${target}/`.startsWith(`${path}/`)
      return target === undefined || isReplaced ? directory(path) : hardlink(path, target)
    }
    case 5:
      return { path, flag: '6', ...attributes(random, 0o600) }
    case 6:
      return {
        path,
        flag: random(2) === 0 ? '3' : '4',
        major: random(300),
        minor: random(400),
        ...attributes(random, 0o660),
      }
    default:
      return file(path, content(random), { ...attributes(random, 0o644), xattrs: xattrs(random) })
  }
}

function attributes(random: Random, mode: number): Partial<TarMember> {
  const special = random(8) === 0 ? 0o4000 : random(8) === 0 ? 0o2000 : 0
  return { mode: mode | special, uid: random(3) * 70_000, gid: random(3), mtime: random(2 ** 31) }
}

function xattrs(random: Random): Record<string, Buffer> {
  if (random(4) > 0) return {}
  return { 'user.random': Buffer.from(times(1 + random(40), () => random(256))) }
}

/** Sizes around block borders, zeros among them, and contents that come again. */
function content(random: Random): Buffer {
  const sizes = [0, 1, 100, 5000, 131_071, 131_072, 131_073, 262_144, 400_000]
  const bytes = Buffer.alloc(pick(random, sizes))
  const kind = random(4)
  if (kind === 0) return bytes
  if (kind === 1) return bytes.fill(`${random(3)} text that repeats `)
  for (let offset = 0; offset + 4 <= bytes.length; offset += 4) bytes.writeUInt32LE(random(2 ** 32), offset)
  if (kind === 2) bytes.fill(0, 0, Math.min(bytes.length, 140_000))
  return bytes
}

interface Paths {
  readonly all: readonly string[]
  readonly directories: readonly string[]
  /** Symbolic links that lead to a directory of the tree. */
  readonly links: readonly string[]
  readonly others: readonly string[]
}

function pathsOf(root: DirectoryNode): Paths {
  const found = new Map<string, TreeNode>([['', root]])
  for (const [path, node] of found) {
    if (node.kind !== 'directory') continue
    for (const [name, child] of node.children) found.set(join(path, name), child)
  }
  const only = (isWanted: (node: TreeNode) => boolean) =>
    [...found].filter(([, node]) => isWanted(node)).map(([path]) => path)
  return {
    all: [...found.keys()],
    directories: only(({ kind }) => kind === 'directory'),
    links: only((node) => node.kind === 'symlink' && found.get(node.target.slice(1))?.kind === 'directory'),
    others: only(({ kind }) => kind !== 'directory'),
  }
}

function mergeMembers(layers: readonly (readonly TarMember[])[]): DirectoryNode {
  const indexes = layers.map((members, position): LayerIndex => {
    const entries = parseTar(tarOf(members))
    return { name: `layer ${position + 1}`, entries, tarBytes: 0 }
  })
  return mergeLayers(indexes)
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`
}

function inDirectory(path: string, rename: (name: string) => string): string {
  const slash = path.lastIndexOf('/')
  return path.slice(0, slash + 1) + rename(path.slice(slash + 1))
}

function times<Value>(count: number, make: () => Value): Value[] {
  return Array.from({ length: count }, make)
}
