// The contents that a tree uses, out of the segments of its layers: each once, however many files and layers have it,
// in the order in which they stand in the segments.

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

export class UsedContents {
  readonly #tables: readonly ContentTable[]
  /** For each layer, by the number of the content in its segment. */
  readonly #used: Map<number, UsedContent>[]
  /** Each once, in the order of the segments. */
  readonly all: UsedContent[] = []

  /**
   * Looks up the contents of `files`. `hasRoomForTail` says whether so many bytes can stand beside the inode of a file;
   * a content whose tail finds no room beside one of its files has it in a block, for all of them.
   * Throws `oci.corrupt-store`, `oci.internal`.
   */
  constructor(
    files: Iterable<NumberedNode<FileNode>>,
    segments: readonly OpenSegment[],
    hasRoomForTail: (file: NumberedNode<FileNode>, tailBytes: number) => boolean,
  ) {
    this.#tables = segments.map(({ table, dataEnd }) => new ContentTable(table, dataEnd))
    const wanted = this.#collect(files, hasRoomForTail)
    this.#used = segments.map(() => new Map())
    const known = new Map<string, UsedContent>()
    for (const [layer, numbers] of wanted.entries()) {
      for (const number of [...numbers.keys()].sort((one, other) => one - other)) {
        const stored = this.#table(layer).content(number)
        const isTailInline = numbers.get(number) === true
        const key = `${isTailInline ? '' : 'block '}${stored.digest}`
        let used = known.get(key)
        if (used === undefined) {
          used = { layer, stored, place: placeContent(stored, isTailInline) }
          known.set(key, used)
          this.all.push(used)
        }
        this.#used[layer]?.set(number, used)
      }
    }
  }

  of(file: FileNode): UsedContent {
    const number = this.#contentNumber(file)
    const used = this.#used[file.layer]?.get(number)
    if (used === undefined) throw missing(file)
    return used
  }

  /** For each layer: the numbers of the contents that are used, and whether their tails can stand beside the inodes. */
  #collect(
    files: Iterable<NumberedNode<FileNode>>,
    hasRoomForTail: (file: NumberedNode<FileNode>, tailBytes: number) => boolean,
  ): Map<number, boolean>[] {
    const wanted = this.#tables.map(() => new Map<number, boolean>())
    for (const file of files) {
      const { node } = file
      const numbers = wanted[node.layer]
      if (numbers === undefined) throw missing(node)
      const number = this.#contentNumber(node)
      const { sizeBytes, tailBytes } = this.#table(node.layer).content(number)
      if (sizeBytes !== node.sizeBytes) throw missing(node)
      const hasRoom = tailBytes === 0 || hasRoomForTail(file, tailBytes)
      numbers.set(number, hasRoom && numbers.get(number) !== false)
    }
    return wanted
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
