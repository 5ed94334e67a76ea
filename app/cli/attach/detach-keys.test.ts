import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../failure.ts'
import { DetachScanner, parseDetachKeys } from './detach-keys.ts'

const scanAll = (keys: string, pieces: readonly string[]) => {
  const scanner = new DetachScanner(parseDetachKeys(keys))
  let passed = ''
  for (const piece of pieces) {
    const { bytes, isDetached } = scanner.scan(Buffer.from(piece, 'latin1'))
    passed += Buffer.from(bytes).toString('latin1')
    if (isDetached) return `${passed}|`
  }
  return passed
}

describe('parseDetachKeys()', () => {
  it.each([
    ['ctrl-]', [29]],
    ['ctrl-p,ctrl-q', [16, 17]],
    ['CTRL-A,d', [1, 100]],
    ['ctrl-@', [0]],
    ['ctrl-\\', [28]],
    ['', []],
  ])('reads %j', (text, codes) => {
    expect(parseDetachKeys(text)).toEqual(codes)
  })

  it.each(['ctrl-', 'ctrl-1', 'ab', ',', 'ctrl-p,', 'ö'])('refuses %j', (text) => {
    expect(() => parseDetachKeys(text)).toThrow(UsageError)
  })
})

describe('DetachScanner', () => {
  it.each([
    ['ctrl-]', ['ls\r', 'a\x1db'], 'ls\ra|'],
    ['ctrl-p,ctrl-q', ['a\x10', 'b'], 'a\x10b'],
    ['ctrl-p,ctrl-q', ['a\x10', '\x11'], 'a|'],
    ['ctrl-p,ctrl-q', ['\x10\x10\x11'], '\x10|'],
    ['a,a,b', ['aaab'], 'a|'],
    ['a,b,a,c', ['ababac'], 'ab|'],
    ['', ['\x1d\x10\x11'], '\x1d\x10\x11'],
  ])('with %j passes on what is for the program: %j', (keys, pieces, passed) => {
    expect(scanAll(keys, pieces)).toBe(passed)
  })

  it('finds the keys however the bytes are cut, and passes on exactly what is before them', () => {
    const key = fc.constantFrom('a', 'b')
    fc.assert(
      fc.property(
        fc.array(key, { minLength: 1, maxLength: 4 }),
        fc.array(fc.string({ unit: key })),
        (keys, pieces) => {
          const all = pieces.join('')
          const at = all.indexOf(keys.join(''))
          const seen = scanAll(keys.join(','), pieces)
          if (at >= 0) expect(seen).toBe(`${all.slice(0, at)}|`)
          else expect(all.startsWith(seen) && all.length - seen.length < keys.length).toBe(true)
        },
      ),
    )
  })
})
