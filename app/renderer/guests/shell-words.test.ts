import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { joinWords, splitWords } from './shell-words.ts'

describe('splitWords()', () => {
  it.each([
    ['sh -c "echo hi; exit 7"', ['sh', '-c', 'echo hi; exit 7']],
    ['echo \'a "b" $c\'', ['echo', 'a "b" $c']],
    ['a\\ b "c\\"d" "e\\f"', ['a b', 'c"d', 'e\\f']],
    ['\'\' ""', ['', '']],
    ['a"b"c', ['abc']],
    ['  spaced   out  ', ['spaced', 'out']],
    ['', []],
  ])('reads %j', (line, words) => {
    expect(splitWords(line)).toEqual(words)
  })
  it.each(['"open', "it's", 'end\\'])('refuses %j', (line) => {
    expect(splitWords(line)).toBeUndefined()
  })
})

it('joinWords() writes what splitWords() reads back', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), (words) => {
      expect(splitWords(joinWords(words))).toEqual(words)
    }),
  )
})
