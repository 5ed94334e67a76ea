import { expect, test } from 'vitest'
import { domainId, uuidFromBytes, uuidToBytes } from './domain-id.ts'

test('domain ids end where the reserved ones begin', () => {
  expect(domainId(0x7fef)).toBe(0x7fef)
  for (const value of [-1, 0x7ff0, 1.5, Number.NaN, 2 ** 32])
    expect(() => domainId(value)).toThrow('not a domain id')
})

test('a UUID keeps the order of its digits', () => {
  const uuid = '00112233-4455-6677-8899-aabbccddeeff'
  expect([...uuidToBytes(uuid)]).toEqual(Array.from({ length: 16 }, (_, index) => index * 0x11))
  expect(uuidFromBytes(uuidToBytes(uuid))).toBe(uuid)
  for (const text of ['', uuid.toUpperCase(), uuid.replaceAll('-', ''), `${uuid}0`]) {
    expect(() => uuidToBytes(text)).toThrow('not a UUID')
  }
})
