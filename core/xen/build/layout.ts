// Where everything lies in a PV domain's memory when it starts: a pure calculation, so that it can be tested
// without Xen. The order follows xen/tools/libs/guest (xg_dom_core.c, xc_dom_build_image; xg_dom_x86.c),
// which Linux relies on.
//
//   0 …                     free
//   kernel                  where its headers say
//   [initrd]                only if the kernel must have it mapped
//   [list of frames]        only if the kernel names no address for it
//   start info, xenstore ring, console ring      a page each
//   page tables             L4 first, then L3s, L2s, L1s
//   boot stack              a page
//   padding                 to a 4 MiB boundary, 512 KiB at least: end of the initial mapping
//   [initrd]                unmapped, named by frame number
//   [list of frames]        with page tables of its own, mapped where the kernel wants it

import { BuildError } from './build-error.ts'

export const PAGE_BYTES = 4096
/** Bytes that one entry of an L1, L2 and L3 table maps … and that one table of that level maps. */
const L1_SPAN = 2 ** 21
const L2_SPAN = 2 ** 30
const L3_SPAN = 2 ** 39
const MAPPING_ALIGNMENT = 4 << 20
const MAPPING_SPARE = 512 << 10
/** Virtual addresses have 48 bits; what is above repeats bit 47. */
const ADDRESS_SPACE = 2 ** 48
/**
 * L4 entries that belong to the hypervisor: xen/include/public/arch-x86/xen-x86_64.h, HYPERVISOR_VIRT_START.
 */
const FIRST_XEN_L4_SLOT = 256
const LAST_XEN_L4_SLOT = 271

/** What the kernel's headers and notes say, and how much there is to place. */
export interface LayoutRequest {
  /** Virtual address of page 0; page-aligned. */
  readonly virtualBase: bigint
  /** The kernel's first byte, from page 0. */
  readonly kernelStart: number
  /** One past its last byte, from page 0. */
  readonly kernelEnd: number
  /** Where the kernel wants the list of its frames, if it says. */
  readonly initialP2m: bigint | undefined
  /** The kernel takes an unmapped initrd, named by frame number. */
  readonly canLeaveInitrdUnmapped: boolean
  readonly initrdBytes: number
  /** The domain's memory. */
  readonly totalPages: number
}

export interface PageRange {
  readonly firstPage: number
  readonly pages: number
}

/** Page tables for one run of virtual addresses; the tables lie one after another, L3s first. */
export interface TableRange {
  /** Low 48 bits of the first virtual address. */
  readonly address48: number
  /** Pages of virtual memory that are mapped. */
  readonly mappedPages: number
  /** Where the first L3 table lies. */
  readonly firstPage: number
  readonly l3Tables: number
  readonly l2Tables: number
  readonly l1Tables: number
}

export interface PvLayout {
  readonly kernel: PageRange
  readonly initrd: (PageRange & { readonly isMapped: boolean }) | undefined
  readonly startInfoPage: number
  readonly xenstorePage: number
  readonly consolePage: number
  /** The L4 table and those of the initial mapping: what `start_info.nr_pt_frames` counts. */
  readonly pageTables: PageRange
  readonly bootStackPage: number
  /** The initial mapping: page N at `virtualBase` + N pages. */
  readonly initialMapping: TableRange
  /** The list of machine frames, 8 bytes for each of the domain's pages. */
  readonly frameList: PageRange
  readonly frameListAddress: bigint
  /** Its own tables, when it lies outside of the initial mapping. */
  readonly frameListMapping: TableRange | undefined
  /** Pages up to the end of what is placed. */
  readonly usedPages: number
}

/** Computes the layout. Throws `build.unusable-kernel` and `build.guest-too-small`. */
export function layOutPvDomain(request: LayoutRequest): PvLayout {
  checkKernel(request)
  let nextPage = pagesOf(request.kernelEnd)
  const take = (pages: number): PageRange => {
    const range = { firstPage: nextPage, pages }
    nextPage += pages
    return range
  }
  const addressOf = (page: number) => request.virtualBase + BigInt(page) * BigInt(PAGE_BYTES)
  const takeInitrd = (isMapped: boolean) =>
    request.initrdBytes > 0 ? { ...take(pagesOf(request.initrdBytes)), isMapped } : undefined

  const kernelFirstPage = Math.floor(request.kernelStart / PAGE_BYTES)
  const kernel = { firstPage: kernelFirstPage, pages: nextPage - kernelFirstPage }
  const mappedInitrd = request.canLeaveInitrdUnmapped ? undefined : takeInitrd(true)
  const listPages = pagesOf(request.totalPages * 8)
  const ownListAddress = usableListAddress(request, listPages)
  const mappedList = ownListAddress === undefined ? take(listPages) : undefined
  const startInfoPage = take(1).firstPage
  const xenstorePage = take(1).firstPage
  const consolePage = take(1).firstPage

  const initialMapping = mapUpTo(request.virtualBase, nextPage)
  const pageTables = take(1 + tableCount(initialMapping))
  const bootStackPage = take(1).firstPage
  nextPage = initialMapping.mappedPages

  const initrd = mappedInitrd ?? (request.canLeaveInitrdUnmapped ? takeInitrd(false) : undefined)
  const frameList = mappedList ?? take(listPages)
  const frameListAddress = ownListAddress ?? addressOf(frameList.firstPage)
  const frameListMapping =
    ownListAddress === undefined ? undefined : tablesFor(low48(ownListAddress), listPages, nextPage)
  if (frameListMapping !== undefined) take(tableCount(frameListMapping))

  if (nextPage > request.totalPages) {
    throw new BuildError(
      'guest-too-small',
      `Cannot build domain: kernel, initrd and page tables need ${mebibytes(nextPage)} MiB, the guest has ${mebibytes(request.totalPages)} MiB`,
      {
        hint: 'Give the guest more memory.',
        data: { neededPages: nextPage, totalPages: request.totalPages },
      },
    )
  }
  return {
    kernel,
    initrd,
    startInfoPage,
    xenstorePage,
    consolePage,
    pageTables,
    bootStackPage,
    initialMapping,
    frameList,
    frameListAddress,
    frameListMapping,
    usedPages: nextPage,
  }
}

/** How many tables, the L4 not counted. */
export function tableCount(range: TableRange): number {
  return range.l3Tables + range.l2Tables + range.l1Tables
}

export function low48(address: bigint): number {
  return Number(BigInt.asUintN(48, address))
}

function checkKernel(request: LayoutRequest): void {
  if (!isPageAligned(request.virtualBase) || !isCanonical(request.virtualBase)) {
    throw unusableKernel(`its virtual memory begins at 0x${request.virtualBase.toString(16)}`)
  }
  if (request.kernelStart < 0 || request.kernelEnd <= request.kernelStart) {
    throw unusableKernel(`it reaches from ${request.kernelStart} to ${request.kernelEnd} in physical memory`)
  }
}

/**
 * The initial mapping from page 0 to the end of the tables that map it, the boot stack and the spare room.
 * Tables that are mapped by themselves: their number is raised until it is enough.
 */
function mapUpTo(virtualBase: bigint, tablesFirstPage: number): TableRange {
  const address48 = low48(virtualBase)
  for (let tables = 1; ; ) {
    const usedBytes = (tablesFirstPage + tables + 1) * PAGE_BYTES
    const mappedBytes = Math.ceil((usedBytes + MAPPING_SPARE) / MAPPING_ALIGNMENT) * MAPPING_ALIGNMENT
    if (address48 + mappedBytes > ADDRESS_SPACE) {
      throw unusableKernel(
        `${mebibytes(mappedBytes / PAGE_BYTES)} MiB do not fit above its virtual base 0x${virtualBase.toString(16)}`,
      )
    }
    if (touchesXen(address48, mappedBytes)) throw unusableKernel('its virtual memory overlaps the hypervisor')
    const mapping = tablesFor(address48, mappedBytes / PAGE_BYTES, tablesFirstPage + 1)
    const needed = 1 + tableCount(mapping)
    if (needed <= tables) return mapping
    tables = needed
  }
}

function tablesFor(address48: number, mappedPages: number, firstPage: number): TableRange {
  const last = address48 + mappedPages * PAGE_BYTES - 1
  const spans = (bytes: number) => Math.floor(last / bytes) - Math.floor(address48 / bytes) + 1
  return {
    address48,
    mappedPages,
    firstPage,
    l3Tables: spans(L3_SPAN),
    l2Tables: spans(L2_SPAN),
    l1Tables: spans(L1_SPAN),
  }
}

/**
 * The kernel's own wish for its frame list, unless it cannot be met: like libxenguest, a list that would not
 * lie below the kernel or not on a page goes into the initial mapping, where `start_info.mfn_list` tells the
 * kernel it is.
 */
function usableListAddress(request: LayoutRequest, listPages: number): bigint | undefined {
  const address = request.initialP2m
  if (
    address === undefined ||
    address >= request.virtualBase ||
    !isPageAligned(address) ||
    !isCanonical(address)
  ) {
    return undefined
  }
  const address48 = low48(address)
  const bytes = listPages * PAGE_BYTES
  const lastSlot = Math.floor((address48 + bytes - 1) / L3_SPAN)
  const kernelSlot = Math.floor(low48(request.virtualBase) / L3_SPAN)
  // Each run of addresses has L4 entries, and so tables, of its own.
  if (lastSlot >= kernelSlot || touchesXen(address48, bytes)) return undefined
  return address
}

function touchesXen(address48: number, bytes: number): boolean {
  const first = Math.floor(address48 / L3_SPAN)
  const last = Math.floor((address48 + bytes - 1) / L3_SPAN)
  return first <= LAST_XEN_L4_SLOT && last >= FIRST_XEN_L4_SLOT
}

function isPageAligned(address: bigint): boolean {
  return address % BigInt(PAGE_BYTES) === 0n
}

function isCanonical(address: bigint): boolean {
  return address >= 0n && BigInt.asUintN(64, BigInt.asIntN(48, address)) === address
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_BYTES)
}

function mebibytes(pages: number): number {
  return Math.ceil(pages / 256)
}

function unusableKernel(reason: string): BuildError {
  return new BuildError('unusable-kernel', `Cannot build domain: the kernel cannot be placed, ${reason}`)
}
