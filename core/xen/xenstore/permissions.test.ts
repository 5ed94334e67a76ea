import { describe, expect, test } from 'vitest'
import { domainId } from '../domain-id.ts'
import {
  decodePermissions,
  dom0Only,
  encodePermissions,
  frontendOf,
  ownedBy,
  readableBy,
} from './permissions.ts'

const guest = domainId(5)

describe('permissions', () => {
  test('of a node that a guest may write give nothing to other guests', () => {
    expect(encodePermissions(ownedBy(guest))).toEqual(['n5'])
    expect(encodePermissions(frontendOf(guest))).toEqual(['n5', 'r0'])
  })

  test('of a node that a guest may read give it no right to write', () => {
    expect(encodePermissions(readableBy(guest))).toEqual(['n0', 'r5'])
    expect(encodePermissions(dom0Only)).toEqual(['n0'])
  })

  test('read the first letter as the right of all others', () => {
    expect(decodePermissions(['b5', 'r0'])).toEqual({
      owner: 5,
      others: 'both',
      grants: [{ domid: 0, access: 'read' }],
    })
  })

  test.each([[[]], [['x5']], [['r']], [['n0', 'r99999']], [['r-1']]])('refuse %j', (entries) => {
    expect(() => decodePermissions(entries)).toThrow()
  })
})
