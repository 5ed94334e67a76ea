// Which of a kernel's pages have something in them, and how to copy those. Half of a distribution's kernel is
// zeros: Xen clears such pages itself, which is several times cheaper than mapping, writing and unmapping
// them from dom0. The plan depends on the file alone and is made once per kernel.

import type { ElfImage, LoadSegment } from '../kernel/elf.ts'
import { PAGE_BYTES, type PageRange } from './layout.ts'

export interface KernelPlan {
  /**
   * Guest pages with content, in order. A mapping of these, one after another, is what `copies` writes into.
   */
  readonly dataPages: readonly PageRange[]
  /** Guest pages that must be zero. */
  readonly zeroPages: readonly PageRange[]
  readonly copies: readonly KernelCopy[]
  /** Byte offsets in the mapping of pages that the copies do not fill; to be cleared first. */
  readonly partialPages: readonly number[]
}

export interface KernelCopy {
  readonly fileOffset: number
  /** Where in the mapping of `dataPages`. */
  readonly targetOffset: number
  readonly sizeBytes: number
}

/** A part of one guest page that comes from the file. */
interface Piece {
  readonly fileOffset: number
  readonly pageOffset: number
  readonly sizeBytes: number
}

/** `physicalOffset` is the kernel's PADDR_OFFSET: its physical address of guest page 0. */
export function planKernelCopy(
  elf: ElfImage,
  file: Uint8Array<ArrayBuffer>,
  physicalOffset: number,
): KernelPlan {
  const buffer = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  const piecesByPage = new Map<number, Piece[]>()
  const pages = new Set<number>()
  for (const segment of elf.segments) {
    const start = segment.physicalAddress - physicalOffset
    for (let page = Math.floor(start / PAGE_BYTES); page * PAGE_BYTES < start + segment.memorySize; page++) {
      pages.add(page)
      const piece = pieceIn(segment, start, page)
      if (piece === undefined || isZero(buffer, piece)) continue
      piecesByPage.set(page, [...(piecesByPage.get(page) ?? []), piece])
    }
  }
  const ordered = [...pages].sort((one, other) => one - other)
  const data = ordered.filter((page) => piecesByPage.has(page))
  const copies: KernelCopy[] = []
  const partialPages: number[] = []
  data.forEach((page, index) => {
    const pieces = piecesByPage.get(page) ?? []
    const target = index * PAGE_BYTES
    if (pieces.length > 1 || pieces[0]?.sizeBytes !== PAGE_BYTES) partialPages.push(target)
    for (const { fileOffset, pageOffset, sizeBytes } of pieces) {
      appendCopy(copies, { fileOffset, targetOffset: target + pageOffset, sizeBytes })
    }
  })
  return {
    dataPages: toRanges(data),
    zeroPages: toRanges(ordered.filter((page) => !piecesByPage.has(page))),
    copies,
    partialPages,
  }
}

function pieceIn(segment: LoadSegment, start: number, page: number): Piece | undefined {
  const from = Math.max(start, page * PAGE_BYTES)
  const to = Math.min(start + segment.fileSize, (page + 1) * PAGE_BYTES)
  if (to <= from) return undefined
  return {
    fileOffset: segment.fileOffset + from - start,
    pageOffset: from - page * PAGE_BYTES,
    sizeBytes: to - from,
  }
}

const ZEROS = Buffer.alloc(PAGE_BYTES)

/** By the C library's memcmp: a loop here would take seconds where the code is not compiled yet. */
function isZero(file: Buffer, { fileOffset, sizeBytes }: Piece): boolean {
  return file.compare(ZEROS, 0, sizeBytes, fileOffset, fileOffset + sizeBytes) === 0
}

/** Adds a copy, as part of the last one where it goes on from there in both places. */
function appendCopy(copies: KernelCopy[], copy: KernelCopy): void {
  const last = copies.at(-1)
  const isContinuation =
    last !== undefined &&
    last.fileOffset + last.sizeBytes === copy.fileOffset &&
    last.targetOffset + last.sizeBytes === copy.targetOffset
  if (isContinuation) copies[copies.length - 1] = { ...last, sizeBytes: last.sizeBytes + copy.sizeBytes }
  else copies.push(copy)
}

function toRanges(pages: readonly number[]): PageRange[] {
  const ranges: { firstPage: number; pages: number }[] = []
  for (const page of pages) {
    const last = ranges.at(-1)
    if (last !== undefined && last.firstPage + last.pages === page) last.pages++
    else ranges.push({ firstPage: page, pages: 1 })
  }
  return ranges
}
