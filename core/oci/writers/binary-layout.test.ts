import { expect, test } from 'vitest'
import { binaryLayout, NONE_64 } from './binary-layout.ts'

const layout = binaryLayout({ first: 'u16', second: 'i16', third: 'u32', fourth: 'u64' })

test('fields stand in their order, little-endian and without padding', () => {
  const bytes = layout.encode({ first: 0x0102, second: -2, third: 0xa0b0c0d0, fourth: 0x1_0203_0405_0607 })
  expect(layout.sizeBytes).toBe(16)
  expect(bytes.toString('hex')).toBe('0201feffd0c0b0a00706050403020100')
})

test('what was encoded is decoded again, at an offset too', () => {
  for (const fourth of [0, 5, 2 ** 32, 2 ** 53 - 1, NONE_64]) {
    const values = { first: 65535, second: -32768, third: 0, fourth }
    expect(layout.decode(Buffer.concat([Buffer.alloc(3), layout.encode(values)]), 3)).toEqual(values)
  }
})

test('bytes and signed 64-bit numbers are kept', () => {
  const times = binaryLayout({ kind: 'u8', seconds: 'i64' })
  for (const seconds of [-5, 0, 6e9, -(2 ** 40)]) {
    const bytes = times.encode({ kind: 255, seconds })
    expect(times.decode(bytes)).toEqual({ kind: 255, seconds })
    expect(bytes.readBigInt64LE(1)).toBe(BigInt(seconds))
  }
})

test('there is room for what follows the structure', () => {
  const bytes = layout.encode({ first: 1, second: 1, third: 1, fourth: 1 }, 4)
  expect(bytes.length).toBe(20)
  expect(bytes.readUInt32LE(16)).toBe(0)
})

test('a value that its field cannot hold is an error', () => {
  expect(() => layout.encode({ first: 65536, second: 0, third: 0, fourth: 0 })).toThrow(RangeError)
})
