// Writes the page tables a PV domain starts with, in ordinary memory; the builder copies them into the
// domain, and Xen checks them when the L4 table is pinned. Entry format: Intel SDM volume 3, 4.5; flags as
// libxenguest sets them (xg_dom_x86.c).

import type { FrameList } from './frame-list.ts'
import { PAGE_BYTES, type PageRange, type PvLayout, type TableRange, tableCount } from './layout.ts'

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
  /**
   * The tables of the frame list's own mapping, from `layout.frameListMapping.firstPage`; empty without one.
   */
  readonly frameList: Uint8Array<ArrayBuffer>
}

export function writePageTables(layout: PvLayout, frames: FrameList): PageTables {
  const { pageTables, initialMapping, frameListMapping } = layout
  const main = new TableMemory(pageTables, frames)
  linkTables(main, main, pageTables.firstPage, initialMapping)
  const setLeaves = (first: number, count: number, flags: number) =>
    setPages(main, initialMapping, { first, count, firstPage: first, flags })
  setLeaves(0, initialMapping.mappedPages, PAGE_FLAGS)
  setLeaves(pageTables.firstPage, pageTables.pages, READ_ONLY_FLAGS)
  if (frameListMapping === undefined) return { main: main.bytes, frameList: new Uint8Array() }

  const list = new TableMemory(
    { firstPage: frameListMapping.firstPage, pages: tableCount(frameListMapping) },
    frames,
  )
  linkTables(main, list, pageTables.firstPage, frameListMapping)
  const { firstPage, pages } = layout.frameList
  setPages(list, frameListMapping, { first: 0, count: pages, firstPage, flags: PAGE_FLAGS })
  return { main: main.bytes, frameList: list.bytes }
}

/** A run of table pages and how to write entries into them. */
class TableMemory {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly #words: Uint32Array<ArrayBuffer>
  readonly #firstPage: number
  readonly #frameWords: Uint32Array<ArrayBuffer>

  constructor(range: PageRange, frames: FrameList) {
    this.bytes = new Uint8Array(range.pages * PAGE_BYTES)
    this.#words = new Uint32Array(this.bytes.buffer)
    this.#firstPage = range.firstPage
    this.#frameWords = frames.words
  }

  /**
   * Makes `count` entries, from entry `first` of the table at `tablePage`, point to consecutive pages from
   * `firstPage`. Tables of one level lie side by side, so entry 512 of a table is entry 0 of the next.
   */
  set(tablePage: number, run: EntryRun): void {
    const words = this.#words
    const frameWords = this.#frameWords
    const start = ((tablePage - this.#firstPage) * ENTRIES + run.first) * 2
    const source = run.firstPage * 2
    for (let offset = 0; offset < run.count * 2; offset += 2) {
      const low = frameWords[source + offset] ?? 0
      const high = frameWords[source + offset + 1] ?? 0
      words[start + offset] = (low << 12) | run.flags
      words[start + offset + 1] = (high << 12) | (low >>> 20)
    }
  }
}

interface EntryRun {
  readonly first: number
  readonly count: number
  readonly firstPage: number
  readonly flags: number
}

/** Links the levels above the leaves: L4 to L3s, L3s to L2s, L2s to L1s. */
function linkTables(l4: TableMemory, tables: TableMemory, l4Page: number, range: TableRange): void {
  const { address48, l3Tables, l2Tables, l1Tables } = range
  const l3Page = range.firstPage
  const l2Page = l3Page + l3Tables
  const l1Page = l2Page + l2Tables
  const link = (first: number, count: number, firstPage: number) => ({
    first,
    count,
    firstPage,
    flags: TABLE_FLAGS,
  })
  l4.set(l4Page, link(indexAt(address48, 39), l3Tables, l3Page))
  tables.set(l3Page, link(indexAt(address48, 30), l2Tables, l2Page))
  tables.set(l2Page, link(indexAt(address48, 21), l1Tables, l1Page))
}

/** Sets leaves; `run.first` counts pages from the start of the range. */
function setPages(tables: TableMemory, range: TableRange, run: EntryRun): void {
  const l1Page = range.firstPage + range.l3Tables + range.l2Tables
  tables.set(l1Page, { ...run, first: indexAt(range.address48, 12) + run.first })
}

/** The index, within its table, of the entry for an address. */
function indexAt(address48: number, shift: number): number {
  return Math.floor(address48 / 2 ** shift) % ENTRIES
}
