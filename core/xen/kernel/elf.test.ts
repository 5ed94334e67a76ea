import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BulkheadError } from '../../errors.ts'
import { memorySource } from './byte-source.ts'
import { parseElf } from './elf.ts'
import { DEBIAN_NOTES, makeElf, makeSmallKernel } from './kernel.fixture.ts'
import { readXenNotes, requirePvNotes } from './xen-notes.ts'

const parse = (bytes: Uint8Array<ArrayBuffer>) => parseElf(memorySource(bytes))
const notesOf = (bytes: Uint8Array<ArrayBuffer>) => readXenNotes(memorySource(bytes), parse(bytes))

describe('parseElf()', () => {
  test('finds segments by physical address, with their zero tail', () => {
    const elf = parse(
      makeElf({
        segments: [
          { physicalAddress: 0x1200000n, data: new Uint8Array(100), memorySize: 5000 },
          { physicalAddress: 0x1000000n, data: new Uint8Array(4096) },
        ],
        notes: DEBIAN_NOTES,
      }),
    )
    expect(
      elf.segments.map(({ physicalAddress, fileSize, memorySize }) => [
        physicalAddress,
        fileSize,
        memorySize,
      ]),
    ).toEqual([
      [0x1200000, 100, 5000],
      [0x1000000, 4096, 4096],
    ])
    expect([elf.physicalStart, elf.physicalEnd]).toEqual([0x1000000, 0x1200000 + 5000])
  })

  test('refuses a segment that reaches past the end of the file', () => {
    const bytes = makeSmallKernel(4096)
    expect(() => parse(bytes.subarray(0, bytes.length - 1))).toThrow(
      'Cannot use kernel image: a segment ends at byte',
    )
  })

  test('refuses a segment with more bytes in the file than in memory', () => {
    const bytes = makeElf({
      segments: [{ physicalAddress: 0n, data: new Uint8Array(200), memorySize: 100 }],
      notes: [],
    })
    expect(() => parse(bytes)).toThrow('a segment has 200 bytes in the file but 100 in memory')
  })

  test.each([
    ['an address beyond physical memory', 1n << 50n],
    ['a 64-bit address', (1n << 64n) - 4096n],
  ])('refuses %s', (_, physicalAddress) => {
    expect(() =>
      parse(makeElf({ segments: [{ physicalAddress, data: new Uint8Array(8) }], notes: [] })),
    ).toThrow(BulkheadError)
  })

  test('refuses segments so far apart that they cannot be one image', () => {
    const data = new Uint8Array(8)
    const bytes = makeElf({
      segments: [
        { physicalAddress: 0n, data },
        { physicalAddress: 1n << 32n, data },
      ],
      notes: [],
    })
    expect(() => parse(bytes)).toThrow('its segments span')
  })

  test('refuses a 32-bit ELF file and one for another machine', () => {
    const narrow = makeSmallKernel(4096)
    narrow[4] = 1
    expect(() => parse(narrow)).toThrow('it is not a 64-bit little-endian ELF file')
    const arm = makeSmallKernel(4096)
    arm[18] = 183
    expect(() => parse(arm)).toThrow('it is for ELF machine 183')
  })

  test('fails only with its own errors, whatever the bytes', () => {
    const kernel = makeSmallKernel(512)
    const mutations = fc.array(fc.tuple(fc.nat({ max: 700 }), fc.nat({ max: 255 })), { maxLength: 12 })
    fc.assert(
      fc.property(mutations, fc.nat({ max: kernel.length }), (changes, cut) => {
        const bytes = kernel.slice(0, kernel.length - (cut % 3 === 0 ? cut : 0))
        for (const [offset, value] of changes) if (offset < bytes.length) bytes[offset] = value
        expectOwnErrors(() => requirePvNotes(notesOf(bytes)))
      }),
      { numRuns: 3000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => {
        expectOwnErrors(() => notesOf(new Uint8Array([...kernel.subarray(0, 64), ...tail])))
      }),
    )
  })
})

describe('readXenNotes()', () => {
  test('reads numbers of 4 and of 8 bytes, and text', () => {
    const notes = notesOf(makeSmallKernel())
    expect(notes).toMatchObject({
      entry: 0xffffffff81000100n,
      virtualBase: 0xffffffff80000000n,
      initialP2m: 0x8000000000n,
      supportedFeatures: 0x8801n,
      xenVersion: 'xen-3.0',
      guestOs: 'linux',
      loader: 'generic',
      features: '!writable_page_tables|pae_pgdir_above_4gb',
      moduleStartIsFrame: true,
      suspendCancel: true,
      pvhEntry: 0x1000850,
      hypercallPage: undefined,
    })
  })

  test('takes them from a section when no program header has any', () => {
    const segments = [{ physicalAddress: 0x1000000n, data: new Uint8Array(64) }]
    expect(notesOf(makeElf({ segments, notes: DEBIAN_NOTES, notesIn: 'section' })).entry).toBe(
      0xffffffff81000100n,
    )
  })

  test('refuses a number of an odd size', () => {
    const segments = [{ physicalAddress: 0x1000000n, data: new Uint8Array(64) }]
    expect(() => notesOf(makeElf({ segments, notes: [{ type: 1, value: 'abcde' }] }))).toThrow(
      'Xen note 1 has 6 bytes',
    )
  })
})

describe('requirePvNotes()', () => {
  const segments = [{ physicalAddress: 0x1000000n, data: new Uint8Array(64) }]
  const without = (...types: number[]) =>
    makeElf({ segments, notes: DEBIAN_NOTES.filter((note) => !types.includes(note.type)) })

  test('says that a kernel without the PV entry is for PVH only', () => {
    expect(() => requirePvNotes(notesOf(without(1)))).toThrow('it has an entry point for PVH guests only')
  })

  test('says that a kernel without notes has no Xen entry point', () => {
    expect(() => requirePvNotes(notesOf(makeElf({ segments, notes: [] })))).toThrow(
      'it has no Xen entry point',
    )
  })

  test('refuses another interface, printing what it says harmlessly', () => {
    const notes = [...DEBIAN_NOTES.filter((note) => note.type !== 5), { type: 5, value: 'xen-9\u001b[2J' }]
    expect(() => requirePvNotes(notesOf(makeElf({ segments, notes })))).toThrow('"xen-9?[2J"')
  })
})

function expectOwnErrors(action: () => unknown): void {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(BulkheadError)
  }
}
