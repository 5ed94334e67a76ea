import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { allocateNativeMemory } from '../../sys/native-memory.ts'
import { InitrdSource } from './initrd-source.ts'
import { MappedFiles } from './mapped-files.ts'

let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-build-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

const place = async (name: string, content: string) => {
  const path = join(folder, name)
  // By renaming, as everything that builders read is replaced.
  await writeFile(`${path}.new`, content)
  await rename(`${path}.new`, path)
  return path
}
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

describe('InitrdSource', () => {
  test('puts files and bytes one after another, each at a multiple of four, zeros between and after', async () => {
    using files = new MappedFiles()
    const bytes = new Uint8Array(Buffer.from('-abc-')).subarray(1, 4)
    using initrd = new InitrdSource(
      [{ path: await place('one', 'first') }, { bytes }, { path: await place('two', 'x') }],
      files,
    )
    expect(initrd.sizeBytes).toBe(16)
    const target = allocateNativeMemory(24)
    target.bytes.fill(0xee)
    initrd.copyTo(target.address, 20)
    expect(text(target.bytes)).toBe(`first\0\0\0abc\0x${'\0'.repeat(7)}îîîî`)
  })

  test('may be empty', () => {
    using files = new MappedFiles()
    using initrd = new InitrdSource([], files)
    expect(initrd.sizeBytes).toBe(0)
  })

  test('says which part cannot be read', () => {
    using files = new MappedFiles()
    expect(() => new InitrdSource([{ path: join(folder, 'absent') }], files)).toThrow(
      `Cannot build domain: ${join(folder, 'absent')} cannot be used, ENOENT`,
    )
    expect(() => new InitrdSource([{ path: folder }], files)).toThrow('it is not a regular file')
  })
})

describe('MappedFiles', () => {
  test('maps a file once for as long as it stays the same', async () => {
    using files = new MappedFiles()
    const path = await place('kernel', 'one')
    using first = files.lease(path)
    using second = files.lease(path)
    expect(second.address).toBe(first.address)
    await place('kernel', 'other')
    using third = files.lease(path)
    expect([text(first.bytes), text(third.bytes)]).toEqual(['one', 'other'])
  })

  test('keeps the last few and gives up the rest, but none that is in use', async () => {
    using files = new MappedFiles(1)
    const held = files.lease(await place('held', 'held'))
    for (const name of ['a', 'b', 'c']) files.lease(await place(name, name))[Symbol.dispose]()
    const kept = files.lease(join(folder, 'c'))
    expect([text(held.bytes), text(kept.bytes)]).toEqual(['held', 'c'])
    const { bytes } = kept
    kept[Symbol.dispose]()
    held[Symbol.dispose]()
    // Both are idle now, and one of them is one too many: the one that was used longer ago.
    expect([held.bytes.length, bytes.length]).toEqual([0, 1])
  })
})
