// Writes the page tables a PV domain starts with, in ordinary memory; the builder copies them into the domain, and Xen
// checks them when the L4 table is pinned. Entry format: Intel SDM volume 3, 4.5; flags as libxenguest sets them
// (xg_dom_x86.c).

import type { FrameList } from './frame-list.ts'
import { PAGE_BYTES, type PvLayout, type TableRange } from './layout.ts'

const ENTRIES = 512
/** Present, writable, user, accessed, dirty. */
const TABLE_FLAGS = 0x67
/** Present, writable, accessed. */
const PAGE_FLAGS = 0x23
/** Present, accessed: page tables must not be writable in any mapping, or Xen refuses them. */
const READ_ONLY_FLAGS = 0x21

export interface PageTables {
  /** The L4 table and the tables of the initial mapping, for `layout.pageTables`. */
  readonly main: Uint8Array<ArrayBuffer>
  /** The tables of the frame list's own mapping, from `layout.frameListMapping.firstPage`; empty without one. */
  readonly frameList: Uint8Array<ArrayBuffer>
}

export function writePageTables(layout: PvLayout, frames: FrameList): PageTables {
  const main = new TableMemory(layout.pageTables.firstPage, layout.pageTables.pages, frames)
  const l4Page = layout.pageTables.firstPage
  fillTables(main, main, l4Page, layout.initialMapping, { firstPage: 0, frames, readOnly: layout.pageTables })

  const own = layout.frameListMapping
  const list = new TableMemory(
    own?.firstPage ?? 0,
    own ? own.l3Tables + own.l2Tables + own.l1Tables : 0,
    frames,
  )
  if (own)
    fillTables(main, list, l4Page, own, {
      firstPage: layout.frameList.firstPage,
      frames,
      readOnly: undefined,
    })
  return { main: main.bytes, frameList: list.bytes }
}

/** A run of table pages and how to write entries into them. */
class TableMemory {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly #words: Uint32Array<ArrayBuffer>
  readonly #firstPage: number
  readonly #frameWords: Uint32Array<ArrayBuffer>

  constructor(firstPage: number, pages: number, frames: FrameList) {
    this.bytes = new Uint8Array(pages * PAGE_BYTES)
    this.#words = new Uint32Array(this.bytes.buffer)
    this.#firstPage = firstPage
    this.#frameWords = frames.words
  }

  /** Makes entry `index` of the table at `tablePage` point to `page`. */
  set(tablePage: number, index: number, page: number, flags: number): void {
    const low = this.#frameWords[page * 2] ?? 0
    const high = this.#frameWords[page * 2 + 1] ?? 0
    const word = ((tablePage - this.#firstPage) * ENTRIES + index) * 2
    this.#words[word] = (low << 12) | flags
    this.#words[word + 1] = (high << 12) | (low >>> 20)
  }
}

interface MappedPages {
  readonly firstPage: number
  readonly frames: FrameList
  readonly readOnly: { readonly firstPage: number; readonly pages: number } | undefined
}

/** Tables of one level lie side by side, so the n-th entry of a level is entry n of all its tables taken as one. */
function fillTables(
  l4: TableMemory,
  tables: TableMemory,
  l4Page: number,
  range: TableRange,
  mapped: MappedPages,
): void {
  const l3Page = range.firstPage
  const l2Page = l3Page + range.l3Tables
  const l1Page = l2Page + range.l2Tables
  const link = (memory: TableMemory, page: number, shift: number, target: number, count: number) => {
    const first = indexAt(range.address48, shift)
    for (let n = 0; n < count; n++) memory.set(page, first + n, target + n, TABLE_FLAGS)
  }
  link(l4, l4Page, 39, l3Page, range.l3Tables)
  link(tables, l3Page, 30, l2Page, range.l2Tables)
  link(tables, l2Page, 21, l1Page, range.l1Tables)

  const first = indexAt(range.address48, 12)
  const readOnlyStart = mapped.readOnly?.firstPage ?? 0
  const readOnlyEnd = readOnlyStart + (mapped.readOnly?.pages ?? 0)
  for (let n = 0; n < range.mappedPages; n++) {
    const page = mapped.firstPage + n
    const isTable = page >= readOnlyStart && page < readOnlyEnd
    tables.set(l1Page, first + n, page, isTable ? READ_ONLY_FLAGS : PAGE_FLAGS)
  }
}

/** The index, within its table, of the entry for an address. */
function indexAt(address48: number, shift: number): number {
  return Math.floor(address48 / 2 ** shift) % ENTRIES
}
