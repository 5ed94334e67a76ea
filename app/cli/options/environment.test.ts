import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CliError, UsageError } from '../failure.ts'
import { collectEnvironment, environmentEntry, parseEnvironmentFile } from './environment.ts'

const caller = { LANG: 'de_DE', EMPTY: '' }
const parse = (text: string) => parseEnvironmentFile(Buffer.from(text), 'file', caller)

describe('environmentEntry()', () => {
  it.each([
    ['A=b', 'A=b'],
    ['A=', 'A='],
    ['A=b=c d', 'A=b=c d'],
    ['LANG', 'LANG=de_DE'],
    ['EMPTY', 'EMPTY='],
    ['NOT_SET', undefined],
  ])('makes of %j: %j', (entry, expected) => {
    expect(environmentEntry(entry, caller)).toBe(expected)
  })

  it.each(['', '=x'])('refuses %j', (entry) => {
    expect(() => environmentEntry(entry, caller)).toThrow(UsageError)
  })
})

describe('parseEnvironmentFile()', () => {
  it("reads a file by docker's rules", () => {
    const text = '\uFEFFA=1\n# comment\n\n  B = "two" \n  # another\nC=\r\nLANG\nNOT_SET\nD=#no comment\n'
    expect(() => parse(text)).toThrow('line 4 of file: the name "B " has white space in it')
    expect(parse(text.replace('B =', 'B='))).toEqual([
      'A=1',
      'B= "two" ',
      'C=',
      'LANG=de_DE',
      'D=#no comment',
    ])
  })

  it.each([
    ['=x', 'line 1 of file: it names no variable'],
    ['A=1\nB C=2', 'line 2 of file: the name "B C" has white space'],
  ])('refuses %j', (text, sentence) => {
    expect(() => parse(text)).toThrow(sentence)
  })

  it('refuses what is no text', () => {
    expect(() => parseEnvironmentFile(Buffer.from([0x41, 0x3d, 0xff]), 'file', caller)).toThrow('not UTF-8')
  })
})

describe('collectEnvironment()', () => {
  it('puts single variables behind those of files, so that they win', () => {
    const folder = mkdtempSync(join(tmpdir(), 'bulkhead-env-'))
    try {
      writeFileSync(join(folder, 'env'), 'A=file\nB=file\n')
      expect(collectEnvironment([join(folder, 'env')], ['A=option', 'GONE'], caller)).toEqual([
        'A=file',
        'B=file',
        'A=option',
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('says which file cannot be read', () => {
    expect(() => collectEnvironment(['/nowhere/env'], [], caller)).toThrow(CliError)
    expect(() => collectEnvironment(['/nowhere/env'], [], caller)).toThrow('environment file /nowhere/env')
  })
})
