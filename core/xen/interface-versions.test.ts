import { expect, test } from 'vitest'
import { candidatesFor, interfaceVersions } from './interface-versions.ts'

test('the running release is tried first, then all others from the newest', () => {
  expect(candidatesFor('4.17').map(({ release }) => release)).toEqual([
    '4.17',
    '4.22',
    '4.21',
    '4.20',
    '4.19',
    '4.18',
    '4.16',
    '4.15',
    '4.14',
  ])
  expect(candidatesFor('5.0')).toEqual(interfaceVersions.toReversed())
})

test('no two releases with the same domctl version differ in its structures', () => {
  for (const one of interfaceVersions) {
    for (const other of interfaceVersions) {
      if (one.domctl === other.domctl) expect(one.createDomain).toEqual(other.createDomain)
    }
  }
})
