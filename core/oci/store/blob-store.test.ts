import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../digest.ts'
import { BlobStore } from './blob-store.ts'

let folder: string
let blobs: BlobStore

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-blobs-'))
  blobs = await BlobStore.open(folder)
})

afterEach(() => rm(folder, { recursive: true }))

const content = Buffer.from('the content of a layer')
const expected = { digest: digestOf(content), size: content.length }
const leftovers = () => readdir(path.join(folder, 'ingest'))
const coded = (code: string) => expect.objectContaining({ code })

test('ingest() stores what has the right size and digest', async () => {
  const seen: number[] = []
  const fill = async (writer: { write(bytes: Uint8Array): Promise<void> }) => {
    await writer.write(content.subarray(0, 5))
    await writer.write(content.subarray(5))
  }
  await blobs.ingest('layer', expected, fill, { onProgress: (sizeBytes) => seen.push(sizeBytes) })
  expect(seen).toEqual([5, content.length])
  expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
  expect(await leftovers()).toEqual([])
})

test.each([
  ['too long', Buffer.concat([content, content]), 'oci.size-mismatch'],
  ['too short', content.subarray(1), 'oci.size-mismatch'],
  ['other bytes', Buffer.from(content).fill('x', 0, 1), 'oci.digest-mismatch'],
])('ingest() refuses a blob with %s and leaves nothing behind', async (_, bytes, code) => {
  await expect(blobs.ingest('layer', expected, (writer) => writer.write(bytes))).rejects.toThrow(coded(code))
  expect(await blobs.has(expected)).toBe(false)
  expect(await leftovers()).toEqual([])
})

test('ingest() stores a sha512 blob in its own folder', async () => {
  const blob = { digest: digestOf(content, 'sha512'), size: content.length }
  await blobs.ingest('layer', blob, (writer) => writer.write(content))
  expect(blobs.pathOf(blob.digest)).toContain(`${path.sep}sha512${path.sep}`)
  expect(await blobs.read(blob.digest, 'layer')).toEqual(content)
})

test('a writer that restarts forgets what it was given before', async () => {
  await blobs.ingest('layer', expected, async (writer) => {
    await writer.write(Buffer.from('something else'))
    await writer.restart()
    await writer.write(content)
  })
  expect(await blobs.read(expected.digest, 'layer')).toEqual(content)
})

test('two who want one blob at the same time share one run', async () => {
  let runs = 0
  const fill = async (writer: { write(bytes: Uint8Array): Promise<void> }) => {
    runs += 1
    await writer.write(content)
  }
  const results = await Promise.all([
    blobs.ingest('layer', expected, fill),
    blobs.ingest('layer', expected, fill),
  ])
  expect(results).toEqual([expected, expected])
  expect(runs).toBe(1)
})

test('requireSpace() says how much is needed and how much there is', async () => {
  await blobs.requireSpace(1, 'pull web:1')
  await expect(blobs.requireSpace(2 ** 60, 'pull web:1')).rejects.toThrow(
    /^Cannot pull web:1: \d+ MiB needed, \d+ MiB free/,
  )
})
