// Writes an uncompressed EROFS image: the contents that the tree uses, copied from the segments of its layers, then the
// blocks of directories, the shared extended attributes, the inodes, and the superblock last of all. The same tree and
// segments always make the same bytes.

import { Breather } from '../../breather.ts'
import { OciError } from '../../errors.ts'
import { nodesOf } from '../../merge/tree.ts'
import { writeFully } from '../copy-extents.ts'
import type { OpenSegment, WriteImageOptions, WrittenImage } from '../image-format.ts'
import {
  type NodeNumbering,
  type NumberedDirectory,
  type NumberedNode,
  numberNodes,
} from '../squashfs/node-numbering.ts'
import { piecesOf } from './content-place.ts'
import { type CopiedPiece, copyPieces } from './copy-pieces.ts'
import { encodeDirectoryBlock } from './directory-blocks.ts'
import { BLOCK_BYTES, blocksOf } from './format.ts'
import { InodePlanner, isFile, needsExtendedForm } from './inode-plan.ts'
import { nidOf, writeMetadata } from './metadata-writer.ts'
import { RecordPlacement } from './record-placement.ts'
import { encodeSuperblock } from './superblock.ts'
import { UsedContents } from './used-contents.ts'
import { XattrStore } from './xattr-store.ts'

const MAX_BLOCKS = 0xffff_fffe

type AnyNode = NumberedDirectory | NumberedNode

/** Writes an image; see `ImageFormat.writeImage`. Throws `oci.limit`, `oci.cancelled`, or the system's error. */
export async function writeErofsImage(options: WriteImageOptions): Promise<WrittenImage> {
  const { file, root, segments, signal, onProgress } = options
  const numbering = numberNodes(root)
  const breather = new Breather(signal, 'write the image')
  const store = await XattrStore.collect(nodesOf(root), breather)
  const layout = await planLayout(numbering, store, segments, breather)
  const { contents, planner, positions, metadata, xattrs, blockCount } = layout

  let bytesDone = 0
  const bytesTotal = contents.all.reduce(
    (sum, { place }) => sum + place.blockCount * BLOCK_BYTES,
    metadata.sizeBytes,
  )
  const advance = (bytes: number) => {
    bytesDone = Math.min(bytesDone + bytes, bytesTotal)
    onProgress?.(bytesDone, bytesTotal)
  }
  await copyPieces({ pieces: copiedPieces(contents, segments), target: file, signal, onCopied: advance })
  await writeOwnBlocks(options, layout, breather)
  await writeFully(file, xattrs.bytes, xattrs.firstBlock * BLOCK_BYTES)
  await writeMetadata({
    file,
    start: metadata.firstBlock * BLOCK_BYTES,
    sizeBytes: metadata.sizeBytes,
    segments,
    nodes: layout.nodes,
    positions,
    planOf: (node) => planner.plan(node, contents),
    breather,
    signal,
    onWritten: advance,
  })
  const sizeBytes = blockCount * BLOCK_BYTES
  await file.truncate(sizeBytes)
  const superblock = encodeSuperblock({
    rootNid: nidOf(positions[0] ?? 0),
    inodeCount: numbering.inodeCount,
    epoch: layout.epoch,
    blockCount,
    metadataBlock: metadata.firstBlock,
    sharedXattrBlock: xattrs.firstBlock,
    hasChunkedFiles: contents.all.some(({ place }) => place.chunks !== null),
  })
  await writeFully(file, superblock, 0)
  return { sizeBytes, inodeCount: numbering.inodeCount }
}

/** Where everything goes. */
interface Layout {
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

async function planLayout(
  numbering: NodeNumbering,
  store: XattrStore,
  segments: readonly OpenSegment[],
  breather: Breather,
): Promise<Layout> {
  const nodes = nodesByNumber(numbering)
  const epoch = commonTime(nodes)
  const planner = new InodePlanner(store, epoch, nodes.length)
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
  const xattrs = { firstBlock: blocks.take(blocksOf(store.sharedArea.length)), bytes: store.sharedArea }
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

function* copiedPieces(
  contents: UsedContents,
  segments: readonly OpenSegment[],
): Generator<CopiedPiece, void, void> {
  for (const { layer, stored, place } of contents.all) {
    const segment = segments[layer]
    if (segment === undefined) throw new Error(`there is no segment ${layer}`)
    for (const { from, to, sizeBytes } of piecesOf(stored, place))
      yield { file: segment.file, from, to: place.firstBlock * BLOCK_BYTES + to, sizeBytes }
  }
}

/** Writes the blocks of directories, and the targets of symbolic links that find no room beside their inodes. */
async function writeOwnBlocks(
  { file }: WriteImageOptions,
  { ownBlocks, planner, positions }: Layout,
  breather: Breather,
): Promise<void> {
  for (const { node, firstBlock } of ownBlocks) {
    const blocks = planner.ownBlocks(node)
    const bytes = Buffer.alloc(blocks.length * BLOCK_BYTES)
    for (const [index, block] of blocks.entries()) {
      if (breather.isDue()) await breather.breathe()
      const target = bytes.subarray(index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES)
      if (Buffer.isBuffer(block)) block.copy(target)
      else encodeDirectoryBlock(block, target, (number) => nidOf(positions[number - 1] ?? 0))
    }
    await writeFully(file, bytes, firstBlock * BLOCK_BYTES)
  }
}
