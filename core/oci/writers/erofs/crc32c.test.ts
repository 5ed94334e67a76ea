import { expect, test } from 'vitest'
import { crc32c } from './crc32c.ts'

test('the vectors of RFC 3720 appendix B.4, but for the final inversion', () => {
  const inverted = (bytes: Buffer) => (~crc32c(bytes) >>> 0).toString(16)
  expect(inverted(Buffer.alloc(32))).toBe('8a9136aa')
  expect(inverted(Buffer.alloc(32, 0xff))).toBe('62a8ab43')
  expect(inverted(Buffer.from(Array.from({ length: 32 }, (_, index) => index)))).toBe('46dd794e')
  expect(inverted(Buffer.from('123456789'))).toBe('e3069283')
})
