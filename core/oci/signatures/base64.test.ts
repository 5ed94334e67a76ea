import { expect, test } from 'vitest'
import { decodeBase64 } from './base64.ts'

test('decodeBase64() reads what tools write, also in lines', () => {
  expect(decodeBase64('aGVsbG8gd29ybGQ=')?.toString()).toBe('hello world')
  expect(decodeBase64('aGVsbG8g\nd29ybGQ=\n')?.toString()).toBe('hello world')
  expect(decodeBase64('')).toEqual(Buffer.alloc(0))
})

test.each(['aGVsbG8', 'aGVs bG8=', 'a-_=', 'aGVsbG9=', '====', 'é'])(
  'decodeBase64() does not read %s',
  (text) => {
    expect(decodeBase64(text)).toBeUndefined()
  },
)
