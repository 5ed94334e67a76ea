import { expect, test } from 'vitest'
import { checkPath, checkWatchPath } from './path.ts'

test.each(['/', '/local', '/local/domain/0/backend/vbd/1/51712', '/a-b_c@d'])('accepts %s', (path) => {
  expect(checkPath(path)).toBe(path)
})

test.each(['', 'local', '/local/', '//a', '/a//b', '/a b', '/a.b', '/a\0b', '/ü', `/${'a'.repeat(3072)}`])(
  'refuses %j',
  (path) => {
    expect(() => checkPath(path)).toThrow('xenstore path')
  },
)

test('special watches are no paths', () => {
  expect(checkWatchPath('@releaseDomain')).toBe('@releaseDomain')
  expect(() => checkPath('@releaseDomain')).toThrow()
  expect(() => checkWatchPath('@release Domain')).toThrow()
})
