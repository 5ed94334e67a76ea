// The contents that a tree uses, out of the segments of its layers: each once, however many files and layers have it,
// in the order in which they stand in the segments.

import type { Breather } from '../../breather.ts'
import { OciError } from '../../errors.ts'
import type { FileNode } from '../../merge/tree.ts'
import type { OpenSegment } from '../image-format.ts'
import type { NumberedNode } from '../squashfs/node-numbering.ts'
import { type ContentPlace, placeContent } from './content-place.ts'
import { ContentTable, type StoredContent } from './content-table.ts'

export interface UsedContent {
  /** Which segment it is taken from. */
  readonly layer: number
  readonly stored: StoredContent
  readonly place: ContentPlace
}

export interface UseContentsOptions {
  readonly files: Iterable<NumberedNode<FileNode>>
  readonly segments: readonly OpenSegment[]
  /** Whether so many bytes can stand beside the inode of a file. */
  readonly hasRoomForTail: (file: NumberedNode<FileNode>, tailBytes: number) => boolean
  readonly breather: Breather
}

/** How a content is used: not at all, with its tail beside inodes, or with its tail in a block. */
const UNUSED = 0
const TAIL_INLINE = 1
const TAIL_IN_BLOCK = 2

export class UsedContents {
  readonly #tables: readonly ContentTable[]
  /** For each layer, by the number of the content in its segment. */
  readonly #used: readonly UsedContent[][]
  /** Each once, in the order of the segments. */
  readonly all: UsedContent[] = []

  private constructor(tables: readonly ContentTable[]) {
    this.#tables = tables
    this.#used = tables.map(() => [])
  }

  /**
   * Looks up the contents of files. A content whose tail finds no room beside one of its files has it in a block, for all
   * of them. Throws `oci.corrupt-store`, `oci.internal`, `oci.cancelled`.
   */
  static async collect(options: UseContentsOptions): Promise<UsedContents> {
    const { files, segments, hasRoomForTail, breather } = options
    const contents = new UsedContents(segments.map(({ table, dataEnd }) => new ContentTable(table, dataEnd)))
    const uses = contents.#tables.map(({ contentCount }) => new Uint8Array(contentCount))
    for (const file of files) {
      if (breather.isDue()) await breather.breathe()
      contents.#note(uses, file, hasRoomForTail)
    }
    const known = new Map<string, UsedContent>()
    for (const [layer, ofLayer] of uses.entries()) {
      for (const [number, use] of ofLayer.entries()) {
        if (breather.isDue()) await breather.breathe()
        if (use !== UNUSED) contents.#take(layer, number, use === TAIL_INLINE, known)
      }
    }
    return contents
  }

  of(file: FileNode): UsedContent {
    const used = this.#used[file.layer]?.[this.#contentNumber(file)]
    if (used === undefined) throw missing(file)
    return used
  }

  #note(
    uses: readonly Uint8Array[],
    file: NumberedNode<FileNode>,
    hasRoomForTail: UseContentsOptions['hasRoomForTail'],
  ): void {
    const { node } = file
    const number = this.#contentNumber(node)
    const { sizeBytes, tailBytes } = this.#table(node.layer).sizes(number)
    if (sizeBytes !== node.sizeBytes) throw missing(node)
    const hasRoom = tailBytes === 0 || hasRoomForTail(file, tailBytes)
    const ofLayer = uses[node.layer]
    if (ofLayer === undefined) throw missing(node)
    ofLayer[number] = Math.max(ofLayer[number] ?? UNUSED, hasRoom ? TAIL_INLINE : TAIL_IN_BLOCK)
  }

  #take(layer: number, number: number, isTailInline: boolean, known: Map<string, UsedContent>): void {
    const table = this.#table(layer)
    const key = `${isTailInline ? '' : 'block '}${table.digest(number)}`
    let used = known.get(key)
    if (used === undefined) {
      const stored = table.content(number)
      used = { layer, stored, place: placeContent(stored, isTailInline) }
      known.set(key, used)
      this.all.push(used)
    }
    const ofLayer = this.#used[layer]
    if (ofLayer !== undefined) ofLayer[number] = used
  }

  #contentNumber(file: FileNode): number {
    const number = this.#table(file.layer).contentOf(file.ordinal)
    if (number === undefined) throw missing(file)
    return number
  }

  #table(layer: number): ContentTable {
    const table = this.#tables[layer]
    if (table === undefined)
      throw new OciError('oci.internal', `Cannot write the image: it has no layer ${layer + 1}`)
    return table
  }
}

function missing(file: FileNode): OciError {
  return new OciError(
    'oci.internal',
    `Cannot write the image: entry ${file.ordinal} of layer ${file.layer + 1} has no content of ${file.sizeBytes} bytes`,
  )
}
