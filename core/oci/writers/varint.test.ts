import fc from 'fast-check'
import { expect, test } from 'vitest'
import { VarintReader, VarintWriter } from './varint.ts'

test('numbers, bytes and texts come back as they were written', () => {
  const part = fc.oneof(
    fc.record({ kind: fc.constant('unsigned' as const), value: fc.maxSafeNat() }),
    fc.record({ kind: fc.constant('signed' as const), value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 }) }),
    fc.record({ kind: fc.constant('byte' as const), value: fc.integer({ min: 0, max: 255 }) }),
    fc.record({ kind: fc.constant('text' as const), value: fc.string({ unit: 'binary-ascii' }) }),
  )
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      const writer = new VarintWriter()
      for (const { kind, value } of parts) {
        if (kind === 'text') writer.text(value)
        else writer[kind](value)
      }
      const reader = new VarintReader(writer.finish())
      expect(parts.map(({ kind }) => reader[kind]())).toEqual(parts.map(({ value }) => value))
      expect(() => reader.byte()).toThrow(RangeError)
    }),
  )
})

test.each([0, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER])('%i comes back', (value) => {
  const writer = new VarintWriter()
  writer.unsigned(value)
  expect(new VarintReader(writer.finish()).unsigned()).toBe(value)
})

test.each([-1, 0.5, 2 ** 53, Number.NaN])('%f is refused', (value) => {
  expect(() => new VarintWriter().unsigned(value)).toThrow(RangeError)
})

test('more than fits into the first buffer comes back', () => {
  const writer = new VarintWriter()
  const texts = Array.from({ length: 3000 }, (_, index) => `${index}${'\xff'.repeat(index % 200)}`)
  for (const text of texts) writer.text(text)
  const reader = new VarintReader(writer.finish())
  expect(texts.map(() => reader.text())).toEqual(texts)
})
