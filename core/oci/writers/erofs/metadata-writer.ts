// Writes inodes and what stands behind them, a MiB at a time: the tails of files come out of the segments, in the order
// in which they stand there.

import type { FileHandle } from 'node:fs/promises'
import type { Breather } from '../../breather.ts'
import { throwIfCancelled } from '../../errors.ts'
import { writeFully } from '../../file-bytes.ts'
import type { OpenSegment } from '../image-format.ts'
import type { NumberedDirectory, NumberedNode } from '../squashfs/node-numbering.ts'
import { encodeDirectoryBlock } from './directory-blocks.ts'
import {
  alignUp,
  BLOCK_BYTES,
  COMPACT_INODE,
  EXTENDED_INODE,
  FORMAT_EXTENDED,
  FORMAT_LAYOUT_SHIFT,
  INODE_SLOT_BYTES,
  MODE_TYPES,
  NO_BLOCK,
} from './format.ts'
import type { InodePlan } from './inode-plan.ts'
import { readTails, type TailRead } from './tail-reads.ts'
import { xattrUnits } from './xattr-store.ts'

const PART_BYTES = 1024 * 1024
const SYMLINK_PERMISSIONS = 0o777

export interface MetadataOptions {
  readonly file: FileHandle
  /** Where the metadata begins in the image, and how long it is. */
  readonly start: number
  readonly sizeBytes: number
  readonly segments: readonly OpenSegment[]
  /** All nodes, by the number of their inode, from 1. */
  readonly nodes: readonly (NumberedDirectory | NumberedNode)[]
  /** For each node, where its record goes, from `start`. */
  readonly positions: Float64Array
  readonly planOf: (node: NumberedDirectory | NumberedNode) => InodePlan
  readonly breather: Breather
  readonly signal?: AbortSignal | undefined
  readonly onWritten: (bytes: number) => void
}

/** The number by which directories name an inode: its place, in slots. */
export function nidOf(position: number): number {
  return position / INODE_SLOT_BYTES
}

/** Writes all inodes. Throws `oci.cancelled`, or the system's error. */
export async function writeMetadata(options: MetadataOptions): Promise<void> {
  const { file, start, signal, onWritten } = options
  for await (const { records, partStart, partEnd } of partsOf(options)) {
    throwIfCancelled(signal, 'write the image')
    const part = Buffer.alloc(partEnd - partStart)
    const tails = records.flatMap((record) =>
      encodeRecord(options, part, { ...record, position: record.position - partStart }),
    )
    await readTails(tails, part)
    await writeFully(file, part, start + partStart)
    onWritten(part.length)
  }
}

interface PlacedRecord {
  readonly node: NumberedDirectory | NumberedNode
  readonly plan: InodePlan
  /** From the start of the metadata, or of the part. */
  readonly position: number
}

/** Cuts the metadata where no record is cut. */
async function* partsOf({ nodes, positions, planOf, sizeBytes, breather }: MetadataOptions) {
  const order = orderByBlock(positions, sizeBytes / BLOCK_BYTES)
  let next = 0
  for (let partStart = 0, partEnd = 0; partStart < sizeBytes; partStart = partEnd) {
    partEnd = Math.min(sizeBytes, partStart + PART_BYTES)
    const records: PlacedRecord[] = []
    for (; next < order.length; next++) {
      if (breather.isDue()) await breather.breathe()
      const index = at(order, next)
      const position = at(positions, index)
      if (position >= partEnd) break
      const node = nodes[index]
      if (node === undefined) throw new Error(`there is no inode ${index + 1}`)
      const plan = planOf(node)
      records.push({ node, plan, position })
      partEnd = Math.max(partEnd, alignUp(position + plan.recordBytes, BLOCK_BYTES))
    }
    yield { records, partStart, partEnd }
  }
}

/** The indexes of the positions, those of lower blocks first. */
function orderByBlock(positions: Float64Array, blockCount: number): Uint32Array {
  const ends = new Uint32Array(blockCount + 1)
  const blockOf = (position: number) => Math.floor(position / BLOCK_BYTES)
  for (const position of positions) ends[blockOf(position) + 1] = at(ends, blockOf(position) + 1) + 1
  for (let block = 1; block <= blockCount; block++) ends[block] = at(ends, block) + at(ends, block - 1)
  const order = new Uint32Array(positions.length)
  for (const [index, position] of positions.entries()) {
    const place = at(ends, blockOf(position))
    ends[blockOf(position)] = place + 1
    order[place] = index
  }
  return order
}

/** Puts a record into its part, but for the tail of a file: that is returned, to be read. */
function encodeRecord(
  { segments, positions }: MetadataOptions,
  part: Buffer,
  { node, plan, position }: PlacedRecord,
): TailRead[] {
  encodeInode(node, plan, part, position)
  plan.xattrs.copy(part, position + plan.trailerOffset - plan.xattrs.length)
  const place = position + plan.trailerOffset
  const { trailer } = plan
  switch (trailer.kind) {
    case 'none':
      return []
    case 'bytes':
      trailer.bytes.copy(part, place)
      return []
    case 'chunk-table': {
      const { firstBlock } = trailer.content.place
      let offset = place
      for (const block of trailer.table)
        offset = part.writeUInt32LE(block === NO_BLOCK ? NO_BLOCK : firstBlock + block, offset)
      return []
    }
    case 'tail': {
      const { layer, stored, place: contentPlace } = trailer.content
      const segment = segments[layer]
      if (segment === undefined) throw new Error(`there is no segment ${layer}`)
      const sizeBytes = contentPlace.inlineTailBytes
      return [{ segment, layer, from: stored.tailPosition, to: place, sizeBytes }]
    }
    case 'directory-block':
      encodeDirectoryBlock(trailer.block, part.subarray(place), (number) => nidOf(at(positions, number - 1)))
      return []
  }
}

function encodeInode(
  { node, number, linkCount }: NumberedNode,
  { isExtended, layout, sizeBytes, data, xattrs }: InodePlan,
  target: Buffer,
  offset: number,
): void {
  const permissions = node.kind === 'symlink' ? SYMLINK_PERMISSIONS : node.mode
  const common = {
    format: (layout << FORMAT_LAYOUT_SHIFT) | (isExtended ? FORMAT_EXTENDED : 0),
    xattrUnits: xattrUnits(xattrs.length),
    mode: MODE_TYPES[node.kind] | permissions,
    sizeBytes,
    data,
    number,
    uid: node.uid,
    gid: node.gid,
    linkCount,
    reserved0: 0,
    reserved1: 0,
  }
  if (!isExtended) {
    COMPACT_INODE.encodeInto(target, offset, common)
    return
  }
  const extended = { ...common, mtime: node.mtimeSeconds, mtimeNanoseconds: 0, reserved2: 0 }
  EXTENDED_INODE.encodeInto(target, offset, extended)
}

function at(numbers: Float64Array | Uint32Array, index: number): number {
  const value = numbers[index]
  if (value === undefined) throw new RangeError(`there is no number ${index}`)
  return value
}
