// The image worker killed in the middle of its work, again and again: what is on disk afterwards must be whole, and the
// next try must succeed.

import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import { type ImageWorkerClient, startImageWorker } from '../../core/oci/image-worker-client.ts'
import type { ImageProgress, ProgressPhase } from '../../core/oci/progress.ts'
import { run } from './commands.ts'
import { skopeoCopy } from './made-images.ts'

let folder: string
let archive: Buffer
let root: string
let worker: ImageWorkerClient

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-crash-'))
  const layout = path.join(folder, 'layout')
  await run('umoci', 'init', '--layout', layout)
  await run('umoci', 'new', '--image', `${layout}:made`)
  for (const name of ['one', 'two']) {
    const content = path.join(folder, name)
    await mkdir(content)
    await writeFile(path.join(content, name), randomBytes(6_000_000))
    await run('tar', '-C', content, '-cf', `${content}.tar`, '.')
    await run('umoci', 'raw', 'add-layer', '--image', `${layout}:made`, `${content}.tar`)
  }
  const file = path.join(folder, 'web.tar')
  await skopeoCopy(`oci:${layout}:made`, `docker-archive:${file}:web:1`)
  archive = await readFile(file)
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  worker = await startImageWorker({ root })
})

afterEach(() => worker[Symbol.asyncDispose]())

async function kill(): Promise<void> {
  process.kill((await worker.start()) ?? 0, 'SIGKILL')
}

/** The archive as a stream that kills the worker once this much of it has been sent. */
async function* killingAfter(bytes: number): AsyncGenerator<Buffer, void, void> {
  yield archive.subarray(0, bytes)
  await kill()
  yield archive.subarray(bytes)
}

const killingAt = (phase: ProgressPhase) => {
  let isDone = false
  return async (progress: ImageProgress) => {
    if (isDone || progress.phase !== phase) return
    isDone = true
    await kill()
  }
}

const importWeb = (options = {}) => worker.importArchive(Readable.from([archive]), options)
const died = expect.objectContaining({ code: 'oci.worker-died' })

/** What a reader of the store may rely on at any time. */
async function expectSoundStore(): Promise<void> {
  // The first call after a death starts a new worker, which clears up.
  const listed = await worker.list()
  expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  const blobs = path.join(root, 'store/blobs/sha256')
  for (const name of await readdir(blobs))
    expect(digestOf(await readFile(path.join(blobs, name)))).toBe(`sha256:${name}`)
  const index = JSON.parse(await readFile(path.join(root, 'store/index.json'), 'utf8'))
  expect(listed).toHaveLength(index.manifests.length)
  for (const { reference } of listed) await worker.inspect(reference)
  const images = await readdir(path.join(root, 'images'))
  for (const name of images) expect(name).toMatch(/^[0-9a-f]{64}\.(squashfs|json)$/)
  for (const image of images.filter((name) => name.endsWith('.squashfs'))) {
    expect(images).toContain(image.replace('.squashfs', '.json'))
  }
}

async function expectThatItWorksNow(): Promise<void> {
  await importWeb()
  const { path: file } = await worker.rootImage('web:1')
  expect(await run('unsquashfs', '-lc', file)).toContain('squashfs-root/two')
}

test.each([0.01, 0.5, 0.99])('killed after %f of an archive was sent', async (part) => {
  const source = Readable.from(killingAfter(Math.floor(archive.length * part)))
  await expect(worker.importArchive(source)).rejects.toThrow(died)
  await expectSoundStore()
  expect(await worker.list()).toEqual([])
  await expectThatItWorksNow()
})

test.each(['receive', 'verify', 'unpack'] as const)(
  'killed in the phase "%s" of an import',
  async (phase) => {
    await Promise.allSettled([importWeb({ onProgress: killingAt(phase) })])
    await expectSoundStore()
    await expectThatItWorksNow()
  },
)

test.each(['write', 'merge', 'sync'] as const)('killed in the phase "%s" of a root image', async (phase) => {
  await importWeb()
  await Promise.allSettled([worker.rootImage('web:1', { onProgress: killingAt(phase) })])
  await expectSoundStore()
  await expectThatItWorksNow()
})

test('killed in the middle of many removals', async () => {
  const names = Array.from({ length: 20 }, (_, number) => `web:${number}`)
  await importWeb()
  for (const name of names) await worker.tag('web:1', name)
  const removals = names.map((name) => worker.remove(name))
  await Promise.allSettled(removals.slice(0, 5))
  await kill()
  await Promise.allSettled(removals)
  await expectSoundStore()
  await expectThatItWorksNow()
})
