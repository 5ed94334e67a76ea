import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { piecesOf, placeContent } from './content-place.ts'
import type { Extent, StoredContent } from './content-table.ts'
import { BLOCK_BYTES, blocksOf, NO_BLOCK } from './format.ts'

function content(sizeBytes: number, extents: readonly Extent[], tailBytes = 0): StoredContent {
  return { sizeBytes, firstBlock: 10, extents, tailBytes, tailPosition: tailBytes === 0 ? 0 : 999_999 }
}

/** Extents with gaps between them, and a tail or none. */
const contents = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 200 })), {
      maxLength: 12,
    }),
    fc.integer({ min: 0, max: 3000 }),
    fc.integer({ min: 0, max: 2048 }),
  )
  .map(([runs, holeAtEnd, tailBytes]) => {
    let end = 0
    const extents: Extent[] = []
    for (const [gap, blockCount] of runs) {
      const last = extents.at(-1)
      const fileBlock = end + (last === undefined ? gap : Math.max(16, gap))
      extents.push({ fileBlock, blockCount })
      end = fileBlock + blockCount
    }
    return content((end + holeAtEnd) * BLOCK_BYTES + tailBytes, extents, tailBytes)
  })
  .filter(({ sizeBytes }) => sizeBytes > 0)

describe('placeContent', () => {
  test('a file without holes lies in a row, its tail beside the inode', () => {
    const stored = content(3 * BLOCK_BYTES + 7, [{ fileBlock: 0, blockCount: 3 }], 7)
    expect(placeContent(stored, true)).toMatchObject({ blockCount: 3, inlineTailBytes: 7, chunks: null })
    expect(placeContent(stored, false)).toMatchObject({ blockCount: 4, inlineTailBytes: 0, chunks: null })
  })

  test('nothing but a hole takes no block, and one chunk of a GiB for each of its own', () => {
    const place = placeContent(content(5 * 2 ** 30, []), true)
    expect(place.blockCount).toBe(0)
    expect([...(place.chunks?.table ?? [])]).toEqual(Array.from({ length: 5 }, () => NO_BLOCK))
  })

  test('every block that is stored has a place of its own, where a reader looks for it', () => {
    fc.assert(
      fc.property(contents, fc.boolean(), (stored, isTailInline) => {
        const place = placeContent(stored, isTailInline)
        const taken = new Set<number>()
        const pieces = [...piecesOf(stored, place)]
        for (const { to, sizeBytes } of pieces) {
          for (let block = to / BLOCK_BYTES; block < (to + sizeBytes) / BLOCK_BYTES; block++) {
            expect(taken.has(block)).toBe(false)
            expect(block).toBeLessThan(place.blockCount)
            taken.add(block)
          }
        }
        for (const { fileBlock, blockCount } of stored.extents) {
          for (let block = fileBlock; block < fileBlock + blockCount; block++)
            expect(taken.has(lookUp(place, block))).toBe(true)
        }
        const copied = pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
        const blocks = stored.extents.reduce((sum, { blockCount }) => sum + blockCount, 0)
        expect(copied + place.inlineTailBytes).toBe(blocks * BLOCK_BYTES + stored.tailBytes)
        expect(place.blockCount).toBeLessThanOrEqual(blocksOf(stored.sizeBytes))
      }),
    )
  })
})

/** As the kernel finds a block of a file (erofs_map_blocks). */
function lookUp({ chunks }: ReturnType<typeof placeContent>, block: number): number {
  if (chunks === null) return block
  const first = chunks.table[block >> chunks.log] ?? NO_BLOCK
  expect(first).not.toBe(NO_BLOCK)
  return first + (block & (2 ** chunks.log - 1))
}
