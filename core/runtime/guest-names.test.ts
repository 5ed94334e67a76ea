import { describe, expect, it } from 'vitest'
import { guestName } from '../api/schemas/common.ts'
import { findGuest, inventName } from './guest-names.ts'

const guests = [
  { id: `abc1${'0'.repeat(60)}`, name: 'web' },
  { id: `abc2${'0'.repeat(60)}`, name: 'abc2' },
  { id: `f00d${'0'.repeat(60)}`, name: 'abc' },
]

describe('findGuest()', () => {
  it('finds by name before id, by id, and by the first digits', () => {
    expect(findGuest(guests, 'abc').id).toMatch(/^f00d/)
    expect(findGuest(guests, 'abc2').name).toBe('abc2')
    expect(findGuest(guests, 'abc1').name).toBe('web')
    expect(findGuest(guests, `f00d${'0'.repeat(60)}`).name).toBe('abc')
  })

  it('says what is wrong', () => {
    expect(() => findGuest(guests, 'ab')).toThrow(/More than one guest/)
    expect(() => findGuest(guests, 'nosuch')).toThrow('No guest is called "nosuch"')
    expect(() => findGuest(guests, '')).toThrow()
  })
})

describe('inventName()', () => {
  it('invents names that a guest may have and that are not taken', () => {
    const taken = new Set<string>()
    for (let count = 0; count < 3000; count++) {
      const name = inventName((candidate) => taken.has(candidate))
      expect(guestName.safeParse(name).success).toBe(true)
      taken.add(name)
    }
    expect(taken.size).toBe(3000)
  })
})
