// Where everything goes in an image: contents, blocks of directories, shared attributes, and the inodes behind them.

import type { Breather } from '../../breather.ts'
import { OciError } from '../../errors.ts'
import type { OpenSegment } from '../image-format.ts'
import type { NodeNumbering, NumberedDirectory, NumberedNode } from '../squashfs/node-numbering.ts'
import { blocksOf } from './format.ts'
import { InodePlanner, isFile, needsExtendedForm } from './inode-plan.ts'
import { RecordPlacement } from './record-placement.ts'
import { UsedContents } from './used-contents.ts'
import type { XattrStore } from './xattr-store.ts'

const MAX_BLOCKS = 0xffff_fffe

type AnyNode = NumberedDirectory | NumberedNode

/** Where everything goes. */
export interface ImageLayout {
  /** All nodes, by the number of their inode, from 1. */
  readonly nodes: readonly AnyNode[]
  readonly epoch: number
  readonly contents: UsedContents
  readonly planner: InodePlanner
  readonly xattrs: { readonly firstBlock: number; readonly bytes: Buffer }
  readonly metadata: { readonly firstBlock: number; readonly sizeBytes: number }
  /** Of the inodes, from the start of the metadata. */
  readonly positions: Float64Array
  /** Nodes with blocks of their own: directories, and links with long targets. */
  readonly ownBlocks: readonly { readonly node: AnyNode; readonly firstBlock: number }[]
  readonly blockCount: number
}

export interface PlanLayoutOptions {
  readonly numbering: NodeNumbering
  readonly attributes: XattrStore
  /** Of the layers, bottom first. */
  readonly segments: readonly OpenSegment[]
  readonly breather: Breather
}

/** Plans an image without writing anything. Throws `oci.limit`, `oci.corrupt-store`, `oci.cancelled`. */
export async function planLayout({
  numbering,
  attributes,
  segments,
  breather,
}: PlanLayoutOptions): Promise<ImageLayout> {
  const nodes = nodesByNumber(numbering)
  const epoch = commonTime(nodes)
  const planner = new InodePlanner(attributes, epoch, nodes.length)
  const contents = await UsedContents.collect({
    files: nodes.filter(isFile).filter(({ node }) => node.sizeBytes > 0),
    segments,
    hasRoomForTail: (file, tailBytes) => planner.hasRoomFor(file, tailBytes),
    breather,
  })
  const blocks = new BlockCounter()
  for (const { place } of contents.all) place.firstBlock = blocks.take(place.blockCount)
  const ownBlocks: { node: AnyNode; firstBlock: number }[] = []
  for (const node of nodes) {
    if (breather.isDue()) await breather.breathe()
    const count = planner.ownBlocks(node).length
    if (count === 0) continue
    const firstBlock = blocks.take(count)
    planner.placeOwnBlocks(node, firstBlock)
    ownBlocks.push({ node, firstBlock })
  }
  const bytes = attributes.sharedArea
  const xattrs = { firstBlock: blocks.take(blocksOf(bytes.length)), bytes }
  // The root is the first node, so that its number fits into the 16 bits that the superblock has for it.
  const placement = new RecordPlacement()
  const positions = new Float64Array(nodes.length)
  for (const [index, node] of nodes.entries()) {
    if (breather.isDue()) await breather.breathe()
    positions[index] = placement.place(planner.plan(node, contents).recordBytes)
  }
  const { sizeBytes } = placement
  const metadata = { firstBlock: blocks.take(blocksOf(sizeBytes)), sizeBytes }
  const places = { contents, planner, xattrs, metadata, positions, ownBlocks }
  return { nodes, epoch, ...places, blockCount: blocks.count }
}

/** Hands out the blocks of the image, in order; the first is the superblock's. */
class BlockCounter {
  count = 1

  take(blocks: number): number {
    const first = this.count
    this.count += blocks
    if (this.count <= MAX_BLOCKS) return first
    throw new OciError('oci.limit', 'Cannot write the image: EROFS holds at most 16 TiB', {
      data: { which: 'imageBytes' },
    })
  }
}

function nodesByNumber({ directories, inodeCount }: NodeNumbering): AnyNode[] {
  const nodes = new Array<AnyNode>(inodeCount)
  for (const directory of directories) {
    nodes[directory.number - 1] = directory
    for (const { target } of directory.children) nodes[target.number - 1] = target
  }
  return nodes
}

/** The time that most of the inodes have that need no larger form for anything else; of equals, the earliest. */
function commonTime(nodes: readonly AnyNode[]): number {
  const counts = new Map<number, number>()
  for (const { node, linkCount } of nodes) {
    if (node.mtimeSeconds < 0 || needsExtendedForm(node, linkCount)) continue
    counts.set(node.mtimeSeconds, (counts.get(node.mtimeSeconds) ?? 0) + 1)
  }
  let common = 0
  let highest = 0
  for (const [time, count] of counts) {
    if (count > highest || (count === highest && time < common)) common = time
    highest = Math.max(highest, count)
  }
  return common
}
