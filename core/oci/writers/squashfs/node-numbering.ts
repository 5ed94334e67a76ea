// Numbers the nodes of a tree: breadth first, the children of a directory in the order of their names. So the entries of
// a directory listing have consecutive inode numbers and share headers.

import type { ByteString } from '../../layer/byte-string.ts'
import type { DirectoryNode, TreeNode } from '../../merge/tree.ts'

export interface NumberedNode<Node extends TreeNode = TreeNode> {
  readonly node: Node
  /** The inode number, from 1. */
  readonly number: number
  /** Names of a file, or for a directory 2 plus its subdirectories: what the kernel shows as link count. */
  linkCount: number
}

export interface NumberedDirectory extends NumberedNode<DirectoryNode> {
  readonly parentNumber: number
  /** Sorted by the bytes of the names. */
  readonly children: NumberedChild[]
}

export interface NumberedChild {
  readonly name: ByteString
  readonly target: NumberedDirectory | NumberedNode
}

export interface NodeNumbering {
  readonly inodeCount: number
  /** Parents come before their children; the first is the root. */
  readonly directories: readonly NumberedDirectory[]
}

/** Numbers all nodes below `root`; a node with several names gets one number. */
export function numberNodes(root: DirectoryNode): NodeNumbering {
  let inodeCount = 0
  /** Nodes that may be met again. */
  const linked = new Map<TreeNode, NumberedNode>()
  const directories: NumberedDirectory[] = []
  const addDirectory = (node: DirectoryNode, parentNumber: number): NumberedDirectory => {
    const directory = { node, number: ++inodeCount, linkCount: 2, parentNumber, children: [] }
    directories.push(directory)
    return directory
  }
  const addName = (node: Exclude<TreeNode, DirectoryNode>): NumberedNode => {
    if (node.isLinked !== true) return { node, number: ++inodeCount, linkCount: 1 }
    const numbered = linked.get(node) ?? { node, number: ++inodeCount, linkCount: 0 }
    numbered.linkCount++
    linked.set(node, numbered)
    return numbered
  }
  addDirectory(root, 0)
  for (const directory of directories) {
    for (const [name, node] of [...directory.node.children].sort(byName)) {
      const isDirectory = node.kind === 'directory'
      if (isDirectory) directory.linkCount++
      const target = isDirectory ? addDirectory(node, directory.number) : addName(node)
      directory.children.push({ name, target })
    }
  }
  return { inodeCount, directories }
}

/** One character is one byte, so that the order of the strings is the order of the bytes. */
function byName([one]: [ByteString, TreeNode], [other]: [ByteString, TreeNode]): number {
  return one < other ? -1 : 1
}
