import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteRing, RingBudget } from './byte-ring.ts'

describe('ByteRing', () => {
  it('keeps the newest bytes at their offsets, whatever the pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 90_000 }), { maxLength: 12 }), (lengths) => {
        const ring = new ByteRing(new RingBudget(), 64 * 1024)
        let all = Buffer.alloc(0)
        let next = 1
        for (const length of lengths) {
          const chunk = Buffer.alloc(length)
          for (let index = 0; index < length; index++) {
            next = (next * 48271) % 2147483647
            chunk[index] = next & 0xff
          }
          ring.append(chunk, 0)
          all = Buffer.concat([all, chunk])
          expect(ring.end).toBe(all.length)
          expect(ring.start).toBeGreaterThanOrEqual(Math.max(0, all.length - 64 * 1024))
          expect(ring.end - ring.start).toBeGreaterThanOrEqual(Math.min(all.length, 64 * 1024))
          expect(Buffer.compare(ring.read(ring.start, 1e9), all.subarray(ring.start))).toBe(0)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('grows from 16 KiB and stays small where the budget is spent', () => {
    const budget = new RingBudget(40 * 1024)
    const first = new ByteRing(budget)
    first.append(new Uint8Array(100), 0)
    expect(budget.usedBytes).toBe(16 * 1024)
    const second = new ByteRing(budget)
    second.append(new Uint8Array(30_000), 0)
    expect(second.end - second.start).toBe(16 * 1024)
    first.release()
    second.append(new Uint8Array(30_000), 0)
    expect(second.end - second.start).toBe(32 * 1024)
  })

  it('refuses offsets that are gone', () => {
    const ring = new ByteRing(new RingBudget(), 16 * 1024)
    ring.append(new Uint8Array(20_000), 0)
    expect(() => ring.read(0, 1)).toThrow(RangeError)
  })

  it('places every byte in time', () => {
    const ring = new ByteRing(new RingBudget())
    ring.append(Buffer.from('one'), 1000)
    ring.append(Buffer.from('two'), 2000)
    expect([0, 2, 3, 5].map((offset) => ring.timeOf(offset))).toEqual([1000, 1000, 2000, 2000])
  })
})
