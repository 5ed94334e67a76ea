import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BulkheadError } from '../../errors.ts'
import { FrameList } from './frame-list.ts'
import { type LayoutRequest, layOutPvDomain, low48, PAGE_BYTES, type PvLayout, tableCount } from './layout.ts'
import { type PageTables, writePageTables } from './page-tables.ts'

const KERNEL_BASE = 0xffffffff80000000n

/** Debian's 6.1 kernel in a guest of 256 MiB with an initrd of 2 MB. */
const debian: LayoutRequest = {
  virtualBase: KERNEL_BASE,
  kernelStart: 0x1000000,
  kernelEnd: 0x4a00000,
  initialP2m: 0x8000000000n,
  canLeaveInitrdUnmapped: true,
  initrdBytes: 2_000_000,
  totalPages: 65536,
}

const requests: fc.Arbitrary<LayoutRequest> = fc
  .record({
    virtualBase: fc.constantFrom(
      KERNEL_BASE,
      0xffffffff80123000n,
      0xffffffffa0000000n,
      0x400000n,
      0xffff880000000000n,
    ),
    kernelStart: fc.nat({ max: 64 << 20 }),
    kernelSize: fc.integer({ min: 1, max: 80 << 20 }),
    initialP2m: fc.option(
      fc.constantFrom(
        0x8000000000n,
        0x7fffff000n,
        0x1000n,
        0xffff800000000000n,
        0xffffffff80000000n,
        0x8000000001n,
        1n << 63n,
      ),
      { nil: undefined },
    ),
    canLeaveInitrdUnmapped: fc.boolean(),
    initrdBytes: fc.oneof(fc.constant(0), fc.nat({ max: 50 << 20 })),
    totalPages: fc.oneof(fc.nat({ max: 100_000 }), fc.integer({ min: 65536, max: 8 << 20 })),
  })
  .map(({ kernelSize, ...request }) => ({ ...request, kernelEnd: request.kernelStart + kernelSize }))

function areasOf(layout: PvLayout): { name: string; firstPage: number; pages: number }[] {
  const single = (name: string, firstPage: number) => ({ name, firstPage, pages: 1 })
  const own = layout.frameListMapping
  return [
    { name: 'kernel', ...layout.kernel },
    ...(layout.initrd ? [{ name: 'initrd', ...layout.initrd }] : []),
    single('start info', layout.startInfoPage),
    single('xenstore', layout.xenstorePage),
    single('console', layout.consolePage),
    { name: 'page tables', ...layout.pageTables },
    single('boot stack', layout.bootStackPage),
    { name: 'frame list', ...layout.frameList },
    ...(own ? [{ name: 'frame list tables', firstPage: own.firstPage, pages: tableCount(own) }] : []),
  ]
}

describe('layOutPvDomain()', () => {
  test('places things where libxenguest does for a Debian kernel', () => {
    const layout = layOutPvDomain(debian)
    const pages = 0x4a00
    expect(layout).toMatchObject({
      kernel: { firstPage: 0x1000, pages: 0x3a00 },
      startInfoPage: pages,
      xenstorePage: pages + 1,
      consolePage: pages + 2,
      pageTables: { firstPage: pages + 3, pages: 1 + 1 + 1 + 38 },
      bootStackPage: pages + 3 + 41,
      initialMapping: { l3Tables: 1, l2Tables: 1, l1Tables: 38, mappedPages: 0x4c00 },
      initrd: { firstPage: 0x4c00, pages: 489, isMapped: false },
      frameList: { firstPage: 0x4c00 + 489, pages: 128 },
      frameListAddress: 0x8000000000n,
      frameListMapping: { l3Tables: 1, l2Tables: 1, l1Tables: 1, mappedPages: 128 },
    })
  })

  test('maps the initrd after the kernel when the kernel cannot find it otherwise', () => {
    const layout = layOutPvDomain({ ...debian, canLeaveInitrdUnmapped: false })
    expect(layout.initrd).toEqual({ firstPage: 0x4a00, pages: 489, isMapped: true })
    expect(layout.startInfoPage).toBe(0x4a00 + 489)
  })

  test.each([
    ['there is no wish', undefined],
    ['the wish is above the kernel', 0xffffffffc0000000n],
    ['the wish is not on a page', 0x8000000008n],
    ['the wish is no valid address', 0x800000000000n],
    ['the wish is in the memory of Xen', 0xffff820000000000n],
  ])('puts the frame list into the initial mapping when %s', (_, initialP2m) => {
    const layout = layOutPvDomain({ ...debian, initialP2m })
    expect(layout.frameListMapping).toBeUndefined()
    expect(layout.frameListAddress).toBe(KERNEL_BASE + BigInt(layout.frameList.firstPage * PAGE_BYTES))
    expect(layout.frameList.firstPage + layout.frameList.pages).toBeLessThanOrEqual(layout.startInfoPage)
  })

  test('says how much memory a guest needs that has too little', () => {
    expect(() => layOutPvDomain({ ...debian, totalPages: 60 * 256 })).toThrow(
      'Cannot build domain: kernel, initrd and page tables need 79 MiB, the guest has 60 MiB',
    )
  })

  test('refuses a kernel that would reach past the end of virtual memory', () => {
    const kernelEnd = 0x80000000
    expect(() => layOutPvDomain({ ...debian, kernelEnd, totalPages: 1 << 20 })).toThrow(
      'do not fit above its virtual base',
    )
  })

  test('refuses a kernel in the hypervisor’s own memory', () => {
    expect(() => layOutPvDomain({ ...debian, virtualBase: 0xffff800000000000n })).toThrow(
      'overlaps the hypervisor',
    )
  })

  test('gives nothing two places, and everything a place within the guest', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const layout = attempt(() => layOutPvDomain(request))
        if (layout === undefined) return
        const areas = areasOf(layout).sort((one, other) => one.firstPage - other.firstPage)
        let end = 0
        for (const area of areas) {
          expect(area.firstPage, area.name).toBeGreaterThanOrEqual(end)
          end = area.firstPage + area.pages
        }
        expect(end).toBeLessThanOrEqual(request.totalPages)
        expect(layout.usedPages).toBeGreaterThanOrEqual(end)
        const mapped = layout.initialMapping.mappedPages
        expect(mapped % 1024).toBe(0)
        expect(mapped - (layout.bootStackPage + 1)).toBeGreaterThanOrEqual(128)
        if (layout.frameListMapping === undefined) expect(layout.frameList.firstPage).toBeLessThan(mapped)
        else expect(layout.frameList.firstPage).toBeGreaterThanOrEqual(mapped)
      }),
    )
  })
})

describe('writePageTables()', () => {
  /** What the processor does with an address: the entries from L4 to L1, or undefined where one is absent. */
  function walk(
    layout: PvLayout,
    tables: PageTables,
    frames: FrameList,
    address: bigint,
  ): bigint[] | undefined {
    const pageByFrame = (frame: bigint) => Number(frame - FIRST_FRAME)
    let frame = BigInt(frames.frameOf(layout.pageTables.firstPage))
    const entries: bigint[] = []
    for (const shift of [39n, 30n, 21n, 12n]) {
      const page = pageByFrame(frame)
      const own = layout.frameListMapping
      const isMain =
        page >= layout.pageTables.firstPage && page < layout.pageTables.firstPage + layout.pageTables.pages
      const bytes = isMain ? tables.main : tables.frameList
      const start = (page - (isMain ? layout.pageTables.firstPage : (own?.firstPage ?? 0))) * PAGE_BYTES
      const index = Number((BigInt.asUintN(48, address) >> shift) & 511n)
      const entry = new DataView(bytes.buffer).getBigUint64(start + index * 8, true)
      if ((entry & 1n) === 0n) return undefined
      entries.push(entry)
      frame = entry >> 12n
    }
    return entries
  }

  /** Beyond 32 bits, so that the upper half of an entry counts. */
  const FIRST_FRAME = 0x1_2345_6000n

  function framesFor(pages: number): FrameList {
    const frames = new FrameList(pages)
    // By halves: page numbers do not carry into the upper one.
    for (let page = 0; page < pages; page++) {
      frames.words[page * 2] = Number(FIRST_FRAME & 0xffffffffn) + page
      frames.words[page * 2 + 1] = Number(FIRST_FRAME >> 32n)
    }
    return frames
  }

  test('maps every page of the initial mapping, and no page table for writing', () => {
    const frames = framesFor(debian.totalPages)
    const layout = layOutPvDomain(debian)
    const tables = writePageTables(layout, frames)
    const wrong: number[] = []
    for (let page = 0; page < layout.initialMapping.mappedPages; page++) {
      const entries = walk(layout, tables, frames, KERNEL_BASE + BigInt(page * PAGE_BYTES)) ?? []
      const isTable = page >= layout.pageTables.firstPage && page < layout.bootStackPage
      const leaf = (BigInt(frames.frameOf(page)) << 12n) | (isTable ? 0x21n : 0x23n)
      const areLinks = entries.slice(0, 3).every((entry) => (entry & 0xfffn) === 0x67n)
      if (!areLinks || entries[3] !== leaf) wrong.push(page)
    }
    expect(wrong).toEqual([])
    const beyond = KERNEL_BASE + BigInt(layout.initialMapping.mappedPages * PAGE_BYTES)
    expect(walk(layout, tables, frames, beyond)).toBeUndefined()
    expect(walk(layout, tables, frames, KERNEL_BASE - 4096n)).toBeUndefined()
  })

  test('maps the frame list, and nothing else, where the kernel wants it', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const totalPages = Math.min(request.totalPages, 400_000)
        const layout = attempt(() => layOutPvDomain({ ...request, totalPages }))
        if (layout === undefined) return
        const frames = framesFor(totalPages)
        const tables = writePageTables(layout, frames)
        const leafAt = (address: bigint) => (walk(layout, tables, frames, address)?.[3] ?? 0n) >> 12n
        const address = layout.frameListAddress
        for (const page of [0, layout.frameList.pages - 1]) {
          expect(leafAt(address + BigInt(page * PAGE_BYTES))).toBe(
            BigInt(frames.frameOf(layout.frameList.firstPage + page)),
          )
        }
        const endOfMapping = address + BigInt(layout.frameList.pages * PAGE_BYTES)
        if (layout.frameListMapping !== undefined)
          expect(walk(layout, tables, frames, endOfMapping)).toBeUndefined()
        for (const page of [
          0,
          layout.startInfoPage,
          layout.bootStackPage,
          layout.initialMapping.mappedPages - 1,
        ]) {
          expect(leafAt(request.virtualBase + BigInt(page * PAGE_BYTES))).toBe(BigInt(frames.frameOf(page)))
        }
      }),
      { numRuns: 20 },
    )
  })
})

test('low48() keeps what the processor looks at', () => {
  expect(low48(0xffff_8000_0000_0000n)).toBe(2 ** 47)
})

test('FrameList keeps frames beyond 32 bits, whole extents and single ones', () => {
  const frames = new FrameList(1024)
  frames.setExtent(512, 0xf_ffff_fe00n, 512)
  frames.setFrames(3, BigUint64Array.of(0x1_0000_0001n))
  expect([frames.frameOf(512), frames.frameOf(1023), frames.frameOf(3)]).toEqual([
    0xffffffe00, 0xfffffffff, 0x100000001,
  ])
  expect(
    frames.gather([
      { firstPage: 1023, pages: 1 },
      { firstPage: 3, pages: 2 },
    ]),
  ).toEqual(BigUint64Array.of(0xf_ffff_ffffn, 0x1_0000_0001n, 0n))
  expect(() => frames.frameOf(1024)).toThrow(RangeError)
})

/** The result, or undefined when it was refused with one of our errors. */
function attempt<Result>(action: () => Result): Result | undefined {
  try {
    return action()
  } catch (error) {
    expect(error).toBeInstanceOf(BulkheadError)
    return undefined
  }
}
