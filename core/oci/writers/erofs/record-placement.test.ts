import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BLOCK_BYTES, INODE_SLOT_BYTES } from './format.ts'
import { RecordPlacement } from './record-placement.ts'

const sizes = fc.array(
  fc.oneof(
    fc.integer({ min: 32, max: 300 }),
    fc.integer({ min: 32, max: BLOCK_BYTES }),
    fc.integer({ min: BLOCK_BYTES, max: 5 * BLOCK_BYTES }),
  ),
  { maxLength: 300 },
)

test('records stand apart, in slots, and in one block when they fit into one', () => {
  fc.assert(
    fc.property(sizes, (all) => {
      const placement = new RecordPlacement()
      const records = all.map((size) => ({ start: placement.place(size), size }))
      let end = INODE_SLOT_BYTES
      for (const { start, size } of records.toSorted((one, other) => one.start - other.start)) {
        expect(start % INODE_SLOT_BYTES).toBe(0)
        expect(start).toBeGreaterThanOrEqual(end)
        end = start + size
        if (size <= BLOCK_BYTES)
          expect(Math.floor((end - 1) / BLOCK_BYTES)).toBe(Math.floor(start / BLOCK_BYTES))
        else expect(start % BLOCK_BYTES).toBe(0)
      }
      expect(placement.sizeBytes).toBeGreaterThanOrEqual(end)
      expect(placement.sizeBytes % BLOCK_BYTES).toBe(0)
    }),
  )
})

test('room that large records leave is filled by small ones', () => {
  const placement = new RecordPlacement()
  for (let count = 0; count < 1000; count++) placement.place(count % 2 === 0 ? 2400 : 1600)
  expect(placement.sizeBytes).toBeLessThan(1.05 * 500 * (2400 + 1600))
})
