import { openSync } from 'node:fs'
import { expect, test } from 'vitest'
import { errnoName, isSystemError, SystemError } from './system-error.ts'

test('says what was tried, why it failed, and the name', () => {
  const error = new SystemError('open the door', 13)
  expect(error).toMatchObject({
    code: 'sys.EACCES',
    errorName: 'EACCES',
    errno: 13,
    message: 'Cannot open the door: permission denied (EACCES)',
  })
})

test('numbers that share names have the usual one', () => {
  expect([11, 95, 2, 4096].map(errnoName)).toEqual(['EAGAIN', 'EOPNOTSUPP', 'ENOENT', 'E4096'])
})

test("isSystemError() knows ours and Node's by name", () => {
  expect(isSystemError(new SystemError('x', 2), 'ENOENT')).toBe(true)
  expect(isSystemError(new SystemError('x', 2), 'EACCES')).toBe(false)
  try {
    openSync('/no/such/file', 'r')
  } catch (error) {
    expect(isSystemError(error, 'ENOENT')).toBe(true)
    expect(isSystemError(error)).toBe(true)
  }
  expect(isSystemError(new Error('ENOENT'), 'ENOENT')).toBe(false)
  expect(isSystemError('ENOENT')).toBe(false)
})
