// The merged root file system in memory: what the layers amount to, before a writer turns it into an image. Nothing of it
// ever touches the host's file system, so that names and links from an image can do no harm there.

import type { ByteString } from '../layer/byte-string.ts'
import type { ExtendedAttributes } from '../layer/tar-entry.ts'

export interface Attributes {
  /** Permission bits with setuid, setgid and sticky. */
  mode: number
  uid: number
  gid: number
  /** Whole seconds since 1970; may be negative. */
  mtimeSeconds: number
  xattrs: ExtendedAttributes | null
}

/** What can have several names. */
export interface Linkable {
  /** Set when a hard link gave the node another name; stays when that name is gone. */
  isLinked?: true
}

export interface DirectoryNode extends Attributes {
  readonly kind: 'directory'
  readonly children: Map<ByteString, TreeNode>
}

/** A regular file. Its content stays in its layer: the entry `ordinal` of layer `layer` (from 0, the bottom). */
export interface FileNode extends Attributes, Linkable {
  readonly kind: 'file'
  readonly sizeBytes: number
  readonly layer: number
  readonly ordinal: number
}

export interface SymlinkNode extends Attributes, Linkable {
  readonly kind: 'symlink'
  /** Opaque data for the guest; followed only inside the tree, never on the host. */
  readonly target: ByteString
}

export interface DeviceNode extends Attributes, Linkable {
  readonly kind: 'character-device' | 'block-device'
  readonly major: number
  readonly minor: number
}

export interface FifoNode extends Attributes, Linkable {
  readonly kind: 'fifo'
}

/** Hard links are several names for the same node object, which is marked as linked. */
export type TreeNode = DirectoryNode | FileNode | SymlinkNode | DeviceNode | FifoNode

/** A directory that no layer describes: what container runtimes make of a missing parent. */
export function implicitDirectory(): DirectoryNode {
  return {
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: 0,
    xattrs: null,
    children: new Map(),
  }
}

/** Every node once, however many names it has. */
export function* nodesOf(root: DirectoryNode): Generator<TreeNode, void, void> {
  const seen = new Set<TreeNode>()
  const directories = [root]
  yield root
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const child of directory.children.values()) {
      if (child.kind === 'directory') {
        directories.push(child)
      } else if (child.isLinked === true) {
        // Only these can be met again: a set of all nodes would take as much memory as the nodes.
        if (seen.has(child)) continue
        seen.add(child)
      }
      yield child
    }
  }
}
