// Decides what an image takes from its layers' segments: the contents that its tree leads to, equal ones once, in the
// order of the segments. What is chosen depends on the layers and the tree alone.

import { Breather } from '../../breather.ts'
import type { DirectoryNode, FileNode } from '../../merge/tree.ts'
import { areSameBytes, type Extent } from '../copy-extents.ts'
import { type OpenSegment, SEGMENT_DATA_OFFSET } from '../image-format.ts'
import { NONE_32 } from './format.ts'
import { PlacedExtents } from './placed-extents.ts'
import {
  type BlockRun,
  runBytes,
  SegmentTable,
  type StoredBlock,
  sparseBytes,
  storedBytes,
} from './segment-table.ts'
import { emptyContent, type StoredContent } from './stored-content.ts'
import { TailSet } from './tail-set.ts'

/** A segment, and what of it the image needs. */
interface UsedSegment {
  readonly position: number
  readonly segment: OpenSegment
  readonly table: SegmentTable
  /** By number of content: whether the tree leads to it. */
  readonly isLive: Uint8Array
  /** By number of fragment: whether it holds anything that the image uses, and later its number in the image. */
  readonly isFragmentUsed: Uint8Array
  readonly fragmentNumbers: Uint32Array
  /** By start of a run: the segment and start of the equal one that stands for it. */
  readonly runs: Map<number, { readonly home: UsedSegment; readonly start: number }>
  readonly extents: PlacedExtents
}

/** A run that is in the image. */
interface KnownRun extends BlockRun {
  readonly home: UsedSegment
}

export interface ImagePlan {
  /** What is to be copied, one after the other, to `SEGMENT_DATA_OFFSET` of the image. */
  readonly extents: readonly Extent[]
  /** The fragments of the image. */
  readonly fragments: readonly StoredBlock[]
  /** Where the content of a file will be. */
  contentOf(file: FileNode): StoredContent
}

/** Plans an image of the segments for a tree. */
export async function planImage(
  root: DirectoryNode,
  segments: readonly OpenSegment[],
  signal?: AbortSignal,
): Promise<ImagePlan> {
  const breather = new Breather(signal, 'write the image')
  const used = segments.map(usedSegment)
  await markLive(root, used, breather)
  const tails = new TailSet(used.map(({ table }) => table))
  const runsByShape = new Map<string, KnownRun[]>()
  for (const segment of used) {
    for (let number = 0; number < segment.table.contentCount; number++) {
      if (segment.isLive[number] === 0) continue
      const { run, tail } = segment.table.content(number)
      if (run !== null) await settleRun(segment, run, runsByShape)
      if (tail === NONE_32) continue
      const home = tails.add(segment.position, tail)
      const fragments = used[home.segment]?.isFragmentUsed
      if (fragments !== undefined) fragments[home.tail.fragment] = 1
      if (breather.isDue()) await breather.breathe()
    }
  }
  const fragments = place(used)
  return {
    extents: used.flatMap(({ segment, extents }) =>
      extents.list().map((extent) => ({ file: segment.file, ...extent })),
    ),
    fragments,
    contentOf: (file) => contentOf(file, used, tails),
  }
}

function usedSegment(segment: OpenSegment, position: number): UsedSegment {
  const table = new SegmentTable(segment.table)
  return {
    position,
    segment,
    table,
    isLive: new Uint8Array(table.contentCount),
    isFragmentUsed: new Uint8Array(table.fragmentCount),
    fragmentNumbers: new Uint32Array(table.fragmentCount),
    runs: new Map(),
    extents: new PlacedExtents(),
  }
}

async function markLive(
  root: DirectoryNode,
  segments: readonly UsedSegment[],
  breather: Breather,
): Promise<void> {
  const directories = [root]
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const child of directory.children.values()) {
      if (child.kind === 'directory') directories.push(child)
      if (child.kind !== 'file' || child.sizeBytes === 0) continue
      const { segment, number } = find(child, segments)
      segment.isLive[number] = 1
      if (breather.isDue()) await breather.breathe()
    }
  }
}

function find(file: FileNode, segments: readonly UsedSegment[]): { segment: UsedSegment; number: number } {
  const segment = segments[file.layer]
  const number = segment?.table.numberOf(file.ordinal)
  if (segment !== undefined && number !== undefined) return { segment, number }
  throw new Error(`entry ${file.ordinal} of layer ${file.layer + 1} has no content in its segment`)
}

/** Equal content compresses to equal sizes: runs of the same shape are compared, and the first one stands for all. */
async function settleRun(
  segment: UsedSegment,
  run: BlockRun,
  runsByShape: Map<string, KnownRun[]>,
): Promise<void> {
  const sizeBytes = runBytes(run)
  if (sizeBytes === 0 || segment.runs.has(run.start)) return
  const shape = `${run.blockSizes.length}/${sizeBytes}`
  const known = runsByShape.get(shape) ?? []
  runsByShape.set(shape, known)
  const extentOf = ({ segment: { file } }: UsedSegment, start: number) => ({ file, start, sizeBytes })
  for (const { home, start, blockSizes } of known) {
    if (home === segment || !blockSizes.every((size, index) => size === run.blockSizes[index])) continue
    if (!(await areSameBytes(extentOf(home, start), extentOf(segment, run.start)))) continue
    segment.runs.set(run.start, { home, start })
    return
  }
  known.push({ ...run, home: segment })
  segment.runs.set(run.start, { home: segment, start: run.start })
  segment.extents.add(run.start, sizeBytes)
}

/** Gives all that is used its place in the image; returns the fragments in their new order and places. */
function place(segments: readonly UsedSegment[]): StoredBlock[] {
  const fragments: StoredBlock[] = []
  let end = SEGMENT_DATA_OFFSET
  for (const { table, isFragmentUsed, fragmentNumbers, extents } of segments) {
    const usedFragments = [...isFragmentUsed.keys()].filter((index) => isFragmentUsed[index] === 1)
    for (const index of usedFragments) {
      const { start, storedSize } = table.fragment(index)
      extents.add(start, storedBytes(storedSize))
    }
    end = extents.place(end)
    for (const index of usedFragments) {
      const { start, storedSize } = table.fragment(index)
      fragmentNumbers[index] = fragments.push({ start: extents.newPlaceOf(start), storedSize }) - 1
    }
  }
  return fragments
}

function contentOf(file: FileNode, segments: readonly UsedSegment[], tails: TailSet): StoredContent {
  const content = emptyContent(file.sizeBytes)
  if (file.sizeBytes === 0) return content
  const { segment, number } = find(file, segments)
  const { run, tail } = segment.table.content(number)
  if (run !== null) {
    const place = segment.runs.get(run.start)
    content.blockSizes = run.blockSizes
    content.sparseBytes = sparseBytes(run, file.sizeBytes)
    if (place !== undefined) content.start = place.home.extents.newPlaceOf(place.start)
  }
  if (tail !== NONE_32) {
    const home = tails.homeOf(segment.position, tail)
    content.fragment = segments[home.segment]?.fragmentNumbers[home.tail.fragment] ?? NONE_32
    content.fragmentOffset = home.tail.offset
  }
  return content
}
