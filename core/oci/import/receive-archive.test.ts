import { execFileSync } from 'node:child_process'
import { link, mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../digest.ts'
import { symlink as symlinkMember, tarOf } from '../layer/testing/tar-writer.ts'
import { BlobStore } from '../store/blob-store.ts'
import { receiveArchive } from './receive-archive.ts'

let folder: string
let content: string
let blobs: BlobStore

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-receive-'))
  content = path.join(folder, 'content')
  await mkdir(content)
  blobs = await BlobStore.open(folder)
})

afterEach(() => rm(folder, { recursive: true }))

const large = Buffer.alloc(3_000_000, 'large')
const pack = (...options: string[]) =>
  execFileSync('tar', ['-C', content, '-cf', '-', ...options, '.'], { maxBuffer: 2 ** 26 })
const leftovers = () => readdir(path.join(folder, 'ingest'))
const coded = (code: string) => expect.objectContaining({ code })

/** The bytes in pieces that end in the middle of headers and members. */
const pieces = (bytes: Buffer, size: number) =>
  Readable.from(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, (index + 1) * size),
    ),
  )

test.each([1, 4_095, 65_536, 10_000_000])(
  'members are found whole when the archive comes in pieces of %i bytes',
  async (size) => {
    const bytes = size === 1 ? Buffer.from('small\n') : large
    await writeFile(path.join(content, 'file'), bytes)
    await writeFile(path.join(content, 'empty'), '')
    await using archive = await receiveArchive(pieces(pack(), size), blobs)
    const member = archive.require('file')
    expect(member).toMatchObject({ sizeBytes: bytes.length, digest: digestOf(bytes) })
    expect(await archive.readAll(member, bytes.length)).toEqual(bytes)
    expect(await archive.readHead(member, 3)).toEqual(bytes.subarray(0, 3))
    expect(archive.require('empty')).toMatchObject({ sizeBytes: 0, digest: digestOf(Buffer.alloc(0)) })
  },
)

test('a member becomes a blob by being moved, once and again', async () => {
  await writeFile(path.join(content, 'layer'), large)
  const digest = digestOf(large)
  {
    await using archive = await receiveArchive(pieces(pack(), 65_536), blobs)
    const member = archive.require('layer')
    await archive.moveTo(blobs, member, { digest, size: large.length }, 'layer')
    await archive.moveTo(blobs, member, { digest, size: large.length }, 'layer')
    const other = { digest: digestOf(large, 'sha512'), size: large.length }
    await archive.moveTo(blobs, member, other, 'layer')
    expect(await blobs.has(other)).toBe(true)
  }
  expect(await blobs.read(digest, 'layer')).toEqual(large)
  expect(await leftovers()).toEqual([])
})

test('a member that is not what it should be is no blob', async () => {
  await writeFile(path.join(content, 'layer'), large)
  await writeFile(path.join(content, 'small'), 'small')
  await using archive = await receiveArchive(pieces(pack(), 65_536), blobs)
  const wrong = digestOf(Buffer.from('other'))
  for (const [name, size] of [
    ['layer', large.length],
    ['small', 5],
  ] as const) {
    const member = archive.require(name)
    await expect(archive.moveTo(blobs, member, { digest: wrong, size }, 'it')).rejects.toThrow(
      coded('oci.digest-mismatch'),
    )
  }
  await expect(
    archive.moveTo(blobs, archive.require('layer'), { digest: digestOf(large), size: 5 }, 'it'),
  ).rejects.toThrow(coded('oci.size-mismatch'))
  expect(await blobs.has({ digest: digestOf(large), size: large.length })).toBe(false)
})

test('links lead to members, and out of the archive nowhere', async () => {
  await mkdir(path.join(content, 'a'))
  await writeFile(path.join(content, 'a/file'), 'x')
  await symlink('../a/file', path.join(content, 'a/relative'))
  await symlink('/a/file', path.join(content, 'absolute'))
  await link(path.join(content, 'a/file'), path.join(content, 'hard'))
  await symlink('nowhere', path.join(content, 'dangling'))
  {
    await using archive = await receiveArchive(pieces(pack(), 65_536), blobs)
    for (const name of ['a/file', 'a/relative', 'absolute', 'hard'])
      expect(archive.require(name).digest, name).toBe(digestOf(Buffer.from('x')))
    expect(archive.find('dangling')).toBeUndefined()
    expect(() => archive.require('dangling')).toThrow(coded('oci.bad-archive'))
  }
  await symlink('../../etc/passwd', path.join(content, 'escape'))
  await expect(receiveArchive(pieces(pack(), 65_536), blobs)).rejects.toThrow('leads out of it')
  expect(await leftovers()).toEqual([])
})

test('an archive with one file twice, or with holes, is refused', async () => {
  await writeFile(path.join(content, 'file'), 'x')
  const once = pack().subarray(0, 1536)
  await expect(receiveArchive(Readable.from([once, pack()]), blobs)).rejects.toThrow('is in it twice')
  await truncate(path.join(content, 'file'), 10_000_000)
  await expect(receiveArchive(Readable.from([pack('--sparse')]), blobs)).rejects.toThrow(
    coded('oci.bad-archive'),
  )
  expect(await leftovers()).toEqual([])
})

test('names that take more than an honest archive needs are refused', async () => {
  const target = `${'d/'.repeat(500_000)}x`
  const links = Array.from({ length: 17 }, (_, index) => symlinkMember(`link-${index}`, target))
  await expect(receiveArchive(Readable.from([tarOf(links)]), blobs)).rejects.toMatchObject({
    code: 'oci.limit',
    data: { which: 'layerIndexBytes' },
  })
  expect(await leftovers()).toEqual([])
})

test('a source that fails fails the whole with its own error', async () => {
  await writeFile(path.join(content, 'file'), large)
  const failing = async function* () {
    yield pack().subarray(0, 100_000)
    throw new Error('the client hung up')
  }
  await expect(receiveArchive(failing(), blobs)).rejects.toThrow('the client hung up')
  expect(await leftovers()).toEqual([])
})
