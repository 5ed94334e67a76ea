import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { areSameBytes, copyExtents } from './copy-extents.ts'

const MIB = 1024 * 1024

let folder = ''
let first: FileHandle
let second: FileHandle
let target: FileHandle
const firstBytes = randomBytes(5 * MIB)
const secondBytes = randomBytes(3 * MIB)
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'copy-extents-'))
  await writeFile(join(folder, 'first'), firstBytes)
  await writeFile(join(folder, 'second'), secondBytes)
  first = await open(join(folder, 'first'), 'r')
  second = await open(join(folder, 'second'), 'r')
  target = await open(join(folder, 'target'), 'wx+')
})
afterEach(async () => {
  for (const file of [first, second, target]) await file.close()
  await rm(folder, { recursive: true })
})

describe('copyExtents()', () => {
  test('puts pieces of several files one after the other, and counts them', async () => {
    const pieces: [FileHandle, Buffer, number, number][] = [
      [first, firstBytes, 17, 4 * MIB + 5],
      [second, secondBytes, 0, 1],
      [second, secondBytes, 100, 3 * MIB - 100],
      [first, firstBytes, 5 * MIB - 3, 3],
    ]
    const reports: [number, number][] = []
    const end = await copyExtents({
      extents: pieces.map(([file, , start, sizeBytes]) => ({ file, start, sizeBytes })),
      target,
      position: 4096,
      onProgress: (...report) => reports.push(report),
    })
    const expected = Buffer.concat(
      pieces.map(([, bytes, start, sizeBytes]) => bytes.subarray(start, start + sizeBytes)),
    )
    expect(end).toBe(4096 + expected.length)
    expect((await readFile(join(folder, 'target'))).subarray(4096).equals(expected)).toBe(true)
    expect(reports.at(-1)).toEqual([expected.length, expected.length])
    const done = reports.map(([bytes]) => bytes)
    expect(done).toEqual(done.toSorted((one, other) => one - other))
  })

  test('of nothing writes nothing', async () => {
    expect(await copyExtents({ extents: [], target, position: 96 })).toBe(96)
    expect((await target.stat()).size).toBe(0)
  })

  test('stops when it is cancelled', async () => {
    const abort = new AbortController()
    const copying = copyExtents({
      extents: [{ file: first, start: 0, sizeBytes: 5 * MIB }],
      target,
      position: 0,
      signal: abort.signal,
      onProgress: () => abort.abort(),
    })
    await expect(copying).rejects.toMatchObject({ code: 'oci.cancelled' })
  })

  test('fails when a file is shorter than was said', async () => {
    const extents = [{ file: second, start: 2 * MIB, sizeBytes: 2 * MIB }]
    await expect(copyExtents({ extents, target, position: 0 })).rejects.toThrow(/ends at byte/)
  })
})

test('areSameBytes() compares to the last byte', async () => {
  const copy = join(folder, 'copy')
  await writeFile(copy, firstBytes.subarray(1000))
  const other = await open(copy, 'r+')
  const sizeBytes = firstBytes.length - 1000
  const extents = [
    { file: first, start: 1000, sizeBytes },
    { file: other, start: 0, sizeBytes },
  ] as const
  expect(await areSameBytes(...extents)).toBe(true)
  await other.write(Buffer.from([(firstBytes.at(-1) ?? 0) ^ 1]), 0, 1, sizeBytes - 1)
  expect(await areSameBytes(...extents)).toBe(false)
  await other.close()
})
