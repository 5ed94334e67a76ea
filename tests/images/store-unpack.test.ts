// Layers are unpacked into their segments while they come, and what is wrong with one is found out by the pull.

import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, watch, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { pullImage } from '../../core/oci/registry/pull-image.ts'
import { RootImageBuilder } from '../../core/oci/root-image-builder.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { run } from './commands.ts'
import { hexOf, readLayout } from './made-images.ts'
import { type Script, startScriptedRegistry } from './scripted-registry.ts'

let folder: string
let layout: string
/** The only layer: its digest and its bytes. */
let layerDigest: string
let layer: Buffer
let root: string
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-unpack-'))
  layout = path.join(folder, 'layout')
  await run('umoci', 'init', '--layout', layout)
  await run('umoci', 'new', '--image', `${layout}:made`)
  const content = path.join(folder, 'content')
  await mkdir(content)
  await writeFile(path.join(content, 'data'), randomBytes(8_000_000))
  await run('tar', '-C', content, '-cf', `${content}.tar`, '.')
  await run('umoci', 'raw', 'add-layer', '--image', `${layout}:made`, `${content}.tar`)
  const { manifest, blobs } = await readLayout(layout)
  const [only] = manifest.layers
  if (only === undefined) throw new Error('no layer')
  layerDigest = only.digest
  layer = await readFile(path.join(blobs, hexOf(only)))
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  store = await ImageStore.open(root)
})

afterEach(() => store[Symbol.asyncDispose]())

/** Bytes may only become fewer with a phase, and a phase that is over does not come again. */
function expectTruthful(seen: readonly ImageProgress[]): void {
  const changes = seen.filter(({ phase }, position) => phase !== seen[position - 1]?.phase)
  expect(changes.map(({ phase }) => phase)).toEqual([...new Set(seen.map(({ phase }) => phase))])
  for (const { phase } of changes) {
    const done = seen.filter((progress) => progress.phase === phase).map(({ bytesDone }) => bytesDone)
    expect(done).toEqual(done.toSorted((one, other) => one - other))
  }
}

const segments = () => path.join(root, 'store/layers')
const coded = (code: string) => expect.objectContaining({ code })

/** Takes over the answers to requests for the layer. */
const forLayer =
  (answer: (response: ServerResponse) => unknown): Script =>
  (request, response) => {
    if (request.url?.endsWith(`/blobs/${layerDigest}`) !== true) return false
    response.setHeader('content-length', layer.length)
    answer(response)
    return true
  }

test('a segment grows before the last bytes of its layer have come', async () => {
  /** Resolves when a good part of the segment is on disk. */
  const segmentGrows = (async () => {
    for await (const _ of watch(segments())) {
      for (const name of await readdir(segments())) {
        const status = await stat(path.join(segments(), name)).catch(() => undefined)
        if (status !== undefined && status.size > 1_000_000) return
      }
    }
  })()
  await using registry = await startScriptedRegistry(
    layout,
    forLayer(async (response) => {
      response.write(layer.subarray(0, -1000))
      await segmentGrows
      response.end(layer.subarray(-1000))
    }),
  )
  const seen: ImageProgress[] = []
  const onProgress = (progress: ImageProgress) => seen.push(progress)
  await pullImage({ reference: `${registry.host}/web:made` }, store, { onProgress })
  await segmentGrows
  const states = [...new Set(seen.flatMap(({ layers }) => layers.map(({ state }) => state)))]
  expect(states).toEqual(['active', 'unpacking', 'done'])
  const received = seen.filter(({ phase }) => phase === 'download').map(({ bytesDone }) => bytesDone)
  expect(received).toEqual(received.toSorted((one, other) => one - other))
  expect(received.at(-1)).toBe(layer.length)
  // What the build needs is there.
  const phases = new Set<string>()
  const builder = new RootImageBuilder(store)
  await builder.ensure(`${registry.host}/web:made`, {
    onProgress: ({ phase, bytesDone, bytesTotal }) => {
      if (bytesDone < bytesTotal) phases.add(phase)
    },
  })
  expect(phases).not.toContain('unpack')
})

test('a download that turns out wrong is repeated, and so is what was made of it', async () => {
  let requests = 0
  await using registry = await startScriptedRegistry(
    layout,
    forLayer((response) => {
      requests += 1
      const bytes = Buffer.from(layer)
      if (requests === 1) bytes[4_000_000] = (bytes[4_000_000] ?? 0) ^ 0xff
      response.end(bytes)
    }),
  )
  const seen: ImageProgress[] = []
  const onProgress = (progress: ImageProgress) => seen.push(progress)
  await pullImage({ reference: `${registry.host}/web:made` }, store, { onProgress })
  expect(requests).toBe(2)
  expect((await store.check({})).problems).toEqual([])
  const image = await new RootImageBuilder(store).ensure(`${registry.host}/web:made`, { onProgress })
  expect(image.record.entries).toBeGreaterThan(0)
  expectTruthful(seen)
})

test('a layer that is not what the config says fails the pull by its name, and no image is there', async () => {
  const { manifest, blobs } = await readLayout(layout)
  const config = JSON.parse(await readFile(path.join(blobs, hexOf(manifest.config)), 'utf8'))
  const documents = new Map<string, Buffer>()
  const add = (document: object) => {
    const bytes = Buffer.from(JSON.stringify(document))
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    documents.set(digest, bytes)
    return { digest, size: bytes.length }
  }
  const wrong = { ...config, rootfs: { type: 'layers', diff_ids: [`sha256:${'1'.repeat(64)}`] } }
  const made = add({ ...manifest, config: { ...manifest.config, ...add(wrong) } })
  await using registry = await startScriptedRegistry(layout, (request, response) => {
    const key = request.url?.split('/').at(-1) ?? ''
    const bytes = documents.get(key === 'made' ? made.digest : key)
    if (bytes === undefined) return false
    const type =
      key === 'made' || key === made.digest
        ? 'application/vnd.oci.image.manifest.v1+json'
        : 'application/json'
    response.writeHead(200, { 'content-type': type, 'content-length': bytes.length })
    response.end(request.method === 'HEAD' ? undefined : bytes)
    return true
  })
  const pulling = pullImage({ reference: `${registry.host}/web:made` }, store)
  await expect(pulling).rejects.toThrow(coded('oci.digest-mismatch'))
  await expect(pulling).rejects.toThrow(`layer ${layerDigest.slice(7, 19)} of ${registry.host}/web:made`)
  expect(await store.list()).toEqual([])
  expect(await readdir(segments())).toEqual([])
})

test('a layer that is there without a segment is left to the build', async () => {
  await using registry = await startScriptedRegistry(layout, () => false)
  const reference = `${registry.host}/web:made`
  await pullImage({ reference }, store)
  await store.prune({ derived: true })
  expect(await readdir(segments())).toEqual([])
  await pullImage({ reference: `${registry.host}/other:made` }, store)
  expect(await readdir(segments())).toEqual([])
  await new RootImageBuilder(store).ensure(reference, {})
  await store.segments[Symbol.asyncDispose]()
  expect(await readdir(segments())).toHaveLength(1)
})

test('a disk that holds the layer but not what is made of it is said before the download', async () => {
  const small = await mkdtemp(path.join(folder, 'small-'))
  await run('mount', '-t', 'tmpfs', '-o', 'size=16m,mode=0700', 'bulkhead-test', small)
  try {
    await using smallStore = await ImageStore.open(small)
    await using registry = await startScriptedRegistry(layout, () => false)
    const pulling = pullImage({ reference: `${registry.host}/web:made` }, smallStore)
    await expect(pulling).rejects.toThrow(coded('oci.no-space'))
    // The layer, its segment and the root image: three times 8 MB.
    await expect(pulling).rejects.toThrow(/: 23 MiB needed, 1\d MiB free on the disk$/)
    expect(registry.log.filter((line) => line.endsWith(layerDigest))).toEqual([])
  } finally {
    await run('umount', small)
  }
})
