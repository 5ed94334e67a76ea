import fc from 'fast-check'
import { expect, test } from 'vitest'
import { memorySource } from '../kernel/byte-source.ts'
import { parseElf } from '../kernel/elf.ts'
import { type FixtureSegment, makeElf } from '../kernel/kernel.fixture.ts'
import { type KernelPlan, planKernelCopy } from './kernel-plan.ts'
import { PAGE_BYTES } from './layout.ts'

const BASE = 0x1000000

function planFor(segments: readonly FixtureSegment[], physicalOffset = 0) {
  const file = makeElf({ segments, notes: [] })
  const elf = parseElf(memorySource(file))
  return { file, elf, plan: planKernelCopy(elf, file, physicalOffset) }
}

/** Follows the plan in memory that is full of rubbish; gives guest pages by number. */
function follow(plan: KernelPlan, file: Uint8Array): Map<number, Uint8Array> {
  const pageNumbers = plan.dataPages.flatMap(({ firstPage, pages }) =>
    Array.from({ length: pages }, (_, n) => firstPage + n),
  )
  const mapping = new Uint8Array(pageNumbers.length * PAGE_BYTES).fill(0xee)
  for (const offset of plan.partialPages) mapping.fill(0, offset, offset + PAGE_BYTES)
  for (const { fileOffset, targetOffset, sizeBytes } of plan.copies) {
    mapping.set(file.subarray(fileOffset, fileOffset + sizeBytes), targetOffset)
  }
  const pages = new Map(
    pageNumbers.map((page, index) => [page, mapping.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)]),
  )
  for (const { firstPage, pages: count } of plan.zeroPages) {
    for (let page = firstPage; page < firstPage + count; page++) {
      expect(pages.has(page)).toBe(false)
      pages.set(page, new Uint8Array(PAGE_BYTES))
    }
  }
  return pages
}

test('planKernelCopy() leaves pages of zeros to Xen and copies runs at once', () => {
  const data = new Uint8Array(6 * PAGE_BYTES)
  data.fill(1, 0, 2 * PAGE_BYTES)
  data[5 * PAGE_BYTES + 7] = 1
  const { plan } = planFor([{ physicalAddress: BigInt(BASE), data, memorySize: 9 * PAGE_BYTES }])
  const first = BASE / PAGE_BYTES
  expect(plan.dataPages).toEqual([
    { firstPage: first, pages: 2 },
    { firstPage: first + 5, pages: 1 },
  ])
  expect(plan.zeroPages).toEqual([
    { firstPage: first + 2, pages: 3 },
    { firstPage: first + 6, pages: 3 },
  ])
  expect(plan.copies.map((copy) => [copy.targetOffset, copy.sizeBytes])).toEqual([
    [0, 2 * PAGE_BYTES],
    [2 * PAGE_BYTES, PAGE_BYTES],
  ])
  expect(plan.partialPages).toEqual([])
})

test('planKernelCopy() counts pages from the kernel’s own physical offset', () => {
  const { plan } = planFor([{ physicalAddress: BigInt(BASE), data: new Uint8Array(8).fill(1) }], BASE)
  expect(plan.dataPages).toEqual([{ firstPage: 0, pages: 1 }])
  expect(plan.partialPages).toEqual([0])
})

test('a followed plan gives every byte that the segments say', () => {
  const segment = fc.record({
    gap: fc.nat({ max: 3 * PAGE_BYTES }),
    zeros: fc.nat({ max: 2 * PAGE_BYTES }),
    content: fc.uint8Array({ maxLength: 300 }),
    tail: fc.nat({ max: 2 * PAGE_BYTES }),
  })
  fc.assert(
    fc.property(fc.array(segment, { minLength: 1, maxLength: 4 }), (shapes) => {
      let address = BASE
      const segments = shapes.map(({ gap, zeros, content, tail }) => {
        const physicalAddress = address + gap
        const data = new Uint8Array(zeros + content.length + 1)
        data.set(content, zeros)
        address = physicalAddress + data.length + tail
        return { physicalAddress: BigInt(physicalAddress), data, memorySize: data.length + tail }
      })
      const { plan, file } = planFor(segments)
      const pages = follow(plan, file)
      for (const { physicalAddress, data, memorySize } of segments) {
        for (let index = 0; index < memorySize; index++) {
          const at = Number(physicalAddress) + index
          const byte = pages.get(Math.floor(at / PAGE_BYTES))?.[at % PAGE_BYTES]
          if (byte !== (data[index] ?? 0))
            expect.fail(`byte ${index} of a segment is ${byte}, not ${data[index] ?? 0}`)
        }
      }
    }),
    { numRuns: 200 },
  )
})
