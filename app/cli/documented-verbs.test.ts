import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { imageVerbs } from './image-verbs.ts'
import { networkVerbs } from './network-verbs.ts'
import { findVerb } from './verbs.ts'

const read = (path: string) => readFileSync(join(import.meta.dirname, '../..', path), 'utf8')

/** What follows `bulkhead` in a text, `image check`, as words. */
function commandLines(text: string): string[] {
  return [...text.matchAll(/(?<=`|\bnpx )bulkhead ([a-z]+(?: [a-z]+)?)/g)].map(([, words = '']) => words)
}

/** The code words of a text; `image tags|layers` are two. */
function codeWords(text: string): string[] {
  return [...text.matchAll(/`(?:bulkhead )?([^`]+)`/g)].flatMap(([, words = '']) => {
    const [, before = '', last = ''] = /^(.* )?(\S+)$/.exec(words) ?? []
    return last.split('|').map((word) => `${before}${word}`)
  })
}

describe('the documentation', () => {
  it.each(['README.md', 'docs/images.md', 'docs/networking.md'])(
    'of %s names only commands that there are',
    (path) => {
      const lines = commandLines(read(path))
      expect(lines.length).toBeGreaterThan(5)
      for (const line of lines) expect(() => findVerb(line.split(' ')), line).not.toThrow()
    },
  )

  it('of the network names all commands for it', () => {
    expect(commandLines(read('docs/networking.md'))).toEqual(
      expect.arrayContaining(networkVerbs.map(({ name }) => name)),
    )
  })

  it('of images lists all commands for them', () => {
    const [, list = ''] = /Commands: ([^;]+);/.exec(read('docs/images.md')) ?? []
    const known = imageVerbs.filter(({ isSecondName }) => isSecondName !== true).map(({ name }) => name)
    expect(codeWords(list).sort()).toEqual(known.sort())
  })
})
