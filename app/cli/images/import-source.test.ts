import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openImportSource } from './import-source.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bulkhead-import-'))
})
afterEach(() => rmSync(folder, { recursive: true }))
const archive = Buffer.alloc(700_000, 'archive')
const nothing = Readable.from([])
const file = (bytes: Uint8Array) => {
  writeFileSync(join(folder, 'image'), bytes)
  return join(folder, 'image')
}

describe('openImportSource()', () => {
  it('reads a file as it is and knows its size', async () => {
    const { bytes, sizeBytes } = await openImportSource(file(archive), nothing)
    expect(sizeBytes).toBe(archive.length)
    expect((await buffer(bytes)).equals(archive)).toBe(true)
  })

  it.each([
    ['gzip', gzipSync(archive)],
    ['zstd', zstdCompressSync(archive)],
  ])('unpacks %s', async (_what, packed) => {
    const { bytes, sizeBytes } = await openImportSource(file(packed), nothing)
    expect(sizeBytes).toBeUndefined()
    expect((await buffer(bytes)).equals(archive)).toBe(true)
  })

  it('unpacks standard input too, in whatever pieces it comes', async () => {
    const packed = gzipSync(archive)
    const pieces = [packed.subarray(0, 1), packed.subarray(1, 3), packed.subarray(3)]
    const { bytes } = await openImportSource('-', Readable.from(pieces, { objectMode: false }))
    expect((await buffer(bytes)).equals(archive)).toBe(true)
  })

  it('passes on what is not packed, however little', async () => {
    const { bytes } = await openImportSource('-', Readable.from([Buffer.from('ab')], { objectMode: false }))
    expect((await buffer(bytes)).toString()).toBe('ab')
  })

  it.each([
    ['a broken archive', gzipSync(archive).subarray(0, 100), 'Cannot import'],
    ['xz', Buffer.from('fd377a585a0000', 'hex'), 'compressed with xz'],
  ])('says what it cannot read: %s', async (_what, bytes, sentence) => {
    const source = await openImportSource(file(bytes), nothing)
    await expect(buffer(source.bytes)).rejects.toThrow(sentence)
  })

  it.each([
    ['what is not there', () => '/nowhere/image.tar', 'there is no such file or folder'],
    ['a folder without an image', () => folder, 'it holds no image'],
  ])('refuses %s', async (_what, path, sentence) => {
    await expect(openImportSource(path(), nothing)).rejects.toThrow(sentence)
  })

  it('refuses to read an archive from a terminal', async () => {
    await expect(openImportSource('-', Object.assign(Readable.from([]), { isTTY: true }))).rejects.toThrow(
      'it is a terminal',
    )
  })
})
