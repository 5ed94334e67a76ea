import { describe, expect, it } from 'vitest'
import { parseByteSize } from './byte-size.ts'

describe('parseByteSize()', () => {
  it.each([
    ['4096', 4096],
    ['512k', 524288],
    ['64M', 67108864],
    ['64MiB', 67108864],
    ['1gb', 1073741824],
  ])('reads %j', (text, bytes) => {
    expect(parseByteSize(text, 4096, 2 ** 36)).toBe(bytes)
  })

  it.each(['', '4095', '1t', '-1', '65g', '1.5g'])('refuses %j', (text) => {
    expect(() => parseByteSize(text, 4096, 2 ** 36)).toThrow(
      `Cannot use the size "${text}": write one from 4k to 64g`,
    )
  })
})
