import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compressors, makeSmallKernel } from './kernel.fixture.ts'
import { KernelError } from './kernel-error.ts'
import { decodeLz4Legacy } from './lz4-legacy.ts'

const decode = (bytes: Uint8Array) => Buffer.concat([...decodeLz4Legacy(bytes)])

test('decodeLz4Legacy() agrees with lz4 on any input', () => {
  const inputs = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.nat({ max: 3000 })).map(([unit, times]) => {
      return Uint8Array.from({ length: unit.length * times }, (_, index) => unit[index % unit.length] ?? 0)
    }),
  )
  fc.assert(
    fc.property(inputs, (input) => {
      expect(Buffer.compare(decode(compressors.lz4(input)), input)).toBe(0)
    }),
    { numRuns: 60 },
  )
})

test('decodeLz4Legacy() fails with its own error on damaged data', () => {
  const good = compressors.lz4(makeSmallKernel(4096))
  const change = fc.tuple(fc.integer({ min: 4, max: good.length - 1 }), fc.nat({ max: 255 }))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const bytes = Buffer.from(good)
      for (const [offset, value] of changes) bytes[offset] = value
      try {
        decode(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(KernelError)
      }
    }),
    { numRuns: 100 },
  )
})
