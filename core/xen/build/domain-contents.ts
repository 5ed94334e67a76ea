// Writes what a PV domain finds in its memory when it starts. All of it goes through one mapping, because
// mapping and above all unmapping is what costs in dom0, where every page table entry is a trap to Xen.

import { addressOf, copyMemory, fillMemory } from '../../sys/libc.ts'
import type { MemoryMapping } from '../../sys/memory-mapping.ts'
import type { DomainId } from '../domain-id.ts'
import type { Hypercalls } from '../hypercalls.ts'
import { clearPages } from './clear-pages.ts'
import type { FrameList } from './frame-list.ts'
import type { InitrdSource } from './initrd-source.ts'
import type { KernelPlan } from './kernel-plan.ts'
import { PAGE_BYTES, type PageRange, type PvLayout, tableCount } from './layout.ts'
import type { FileLease } from './mapped-files.ts'
import { writePageTables } from './page-tables.ts'
import type { StepTimer } from './step-timer.ts'

export interface Target {
  readonly hypercalls: Hypercalls
  readonly domid: DomainId
  readonly layout: PvLayout
  readonly frames: FrameList
}

export interface Contents {
  readonly kernel: { readonly plan: KernelPlan; readonly file: FileLease }
  readonly initrd: InitrdSource
  readonly startInfo: Uint8Array<ArrayBuffer>
  /** Not one of the domain's own pages: it belongs to Xen, which shares it. */
  readonly sharedInfo: { readonly frame: number; readonly page: Uint8Array<ArrayBuffer> }
}

/**
 * Writes kernel, initrd, frame list, start_info and shared_info and clears the rings. Returns the mapping, to
 * be disposed at leisure: no page in it becomes a page table.
 */
export function writeContents(target: Target, contents: Contents, timer: StepTimer): MemoryMapping {
  const { hypercalls, domid, layout, frames } = target
  const { plan, file } = contents.kernel
  const ranges = [
    ...plan.dataPages,
    ...(layout.initrd === undefined ? [] : [layout.initrd]),
    layout.frameList,
    { firstPage: layout.startInfoPage, pages: 1 },
  ]
  const mapping = hypercalls.privcmd.mapForeign(domid, frames.gather(ranges, [contents.sharedInfo.frame]))
  try {
    timer.done('map')
    let address = mapping.address
    const advance = (pages: number) => {
      const start = address
      address += pages * PAGE_BYTES
      return start
    }
    copyKernel(plan, file, advance(pagesIn(plan.dataPages)))
    timer.done('kernel copy')
    if (layout.initrd !== undefined) {
      const { pages } = layout.initrd
      contents.initrd.copyTo(advance(pages), pages * PAGE_BYTES)
    }
    timer.done('initrd copy')
    copyFrameList(frames, advance(layout.frameList.pages), layout.frameList.pages * PAGE_BYTES)
    copyMemory(advance(1), addressOf(contents.startInfo.buffer), PAGE_BYTES)
    copyMemory(advance(1), addressOf(contents.sharedInfo.page.buffer), PAGE_BYTES)
    timer.done('frame list')
    const rings = [layout.xenstorePage, layout.consolePage].map((firstPage) => ({ firstPage, pages: 1 }))
    clearPages(hypercalls, { domid, frames }, [...plan.zeroPages, ...rings])
    timer.done('clear')
    return mapping
  } catch (error) {
    mapping[Symbol.dispose]()
    throw error
  }
}

/** Writes the page tables and unmaps them again: Xen accepts no table that somebody can write to. */
export function writeTables(target: Target): void {
  const { hypercalls, domid, layout, frames } = target
  const tables = writePageTables(layout, frames)
  const own = layout.frameListMapping
  const ranges: PageRange[] = [layout.pageTables]
  if (own !== undefined) ranges.push({ firstPage: own.firstPage, pages: tableCount(own) })
  using mapping = hypercalls.privcmd.mapForeign(domid, frames.gather(ranges))
  copyMemory(mapping.address, addressOf(tables.main.buffer), tables.main.length)
  copyMemory(
    mapping.address + tables.main.length,
    addressOf(tables.frameList.buffer),
    tables.frameList.length,
  )
}

function copyKernel(plan: KernelPlan, file: FileLease, address: number): void {
  for (const offset of plan.partialPages) fillMemory(address + offset, 0, PAGE_BYTES)
  for (const copy of plan.copies)
    copyMemory(address + copy.targetOffset, file.address + copy.fileOffset, copy.sizeBytes)
}

/** The list ends within a page; what follows says "no frame". */
function copyFrameList(frames: FrameList, address: number, areaBytes: number): void {
  const { words } = frames
  copyMemory(address, addressOf(words.buffer), words.byteLength)
  fillMemory(address + words.byteLength, 0xff, areaBytes - words.byteLength)
}

function pagesIn(ranges: readonly PageRange[]): number {
  return ranges.reduce((sum, range) => sum + range.pages, 0)
}
