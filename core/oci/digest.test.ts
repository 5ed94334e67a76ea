import { expect, test } from 'vitest'
import {
  Digester,
  digestFromHex,
  digestOf,
  isDigest,
  parseDigest,
  requireSameDigest,
  shortDigest,
} from './digest.ts'

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('digestOf() agrees with the published digest of nothing', () => {
  expect(digestOf(new Uint8Array())).toBe(EMPTY)
  expect(digestOf(new Uint8Array(), 'sha512')).toMatch(/^sha512:cf83e1357eefb8bd/)
})

test('Digester hashes piece by piece what digestOf() hashes at once', () => {
  const digester = new Digester('sha512')
  digester.update(Buffer.from('ab'))
  digester.update(Buffer.from('c'))
  expect(digester.finish()).toBe(digestOf(Buffer.from('abc'), 'sha512'))
})

test.each([
  '',
  'sha256:',
  'sha256:../../../etc/passwd',
  `${EMPTY}\n`,
  EMPTY.toUpperCase(),
  EMPTY.slice(0, -1),
  `${EMPTY}0`,
  `md5:${'0'.repeat(32)}`,
  `sha512:${'0'.repeat(64)}`,
  `sha256:${'0'.repeat(128)}`,
])('parseDigest() refuses %j', (text) => {
  expect(isDigest(text)).toBe(false)
  expect(() => parseDigest(text, 'layer 2')).toThrow(expect.objectContaining({ code: 'oci.bad-digest' }))
})

test('digestFromHex() checks the length for the algorithm', () => {
  expect(digestFromHex('sha256', EMPTY.slice(7))).toBe(EMPTY)
  expect(() => digestFromHex('sha512', EMPTY.slice(7))).toThrow('wrong length')
})

test('requireSameDigest() names what was wrong and both digests', () => {
  const other = digestOf(Buffer.from('x'))
  expect(() => requireSameDigest('layer 1', parseDigest(EMPTY), other)).toThrow(
    `Cannot accept layer 1: its content hashes to ${other}, not to ${EMPTY}`,
  )
})

test('shortDigest() gives twelve digits', () => {
  expect(shortDigest(parseDigest(EMPTY))).toBe('e3b0c44298fc')
})
