// The store is an OCI layout that other tools read: skopeo and umoci find images in it by the names that we gave them,
// with sha512 blobs too, and while a pull is under way.

import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import { pullImage } from '../../core/oci/registry/pull-image.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { run } from './commands.ts'
import { hexOf, makeImage, readLayout, skopeoCopy } from './made-images.ts'
import { type Script, startScriptedRegistry } from './scripted-registry.ts'

let folder: string
let layout: string

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-layout-'))
  layout = (await makeImage(path.join(folder, 'made'))).layout
})

afterAll(() => rm(folder, { recursive: true }))

async function openStore(): Promise<{ store: ImageStore; root: string; layoutOfStore: string }> {
  const root = await mkdtemp(path.join(folder, 'root-'))
  return { store: await ImageStore.open(root), root, layoutOfStore: path.join(root, 'store') }
}

const nothing: Script = () => false

test('skopeo and umoci read what was pulled, and nothing is open to others', async () => {
  const { store, layoutOfStore } = await openStore()
  await using _store = store
  await using registry = await startScriptedRegistry(layout, nothing)
  const { reference } = await pullImage({ reference: `${registry.host}/web:made` }, store)
  const inspected = JSON.parse(await run('skopeo', 'inspect', `oci:${layoutOfStore}:${reference}`))
  expect(inspected.Digest).toBe((await readLayout(layout)).entry.digest)
  expect(await run('umoci', 'ls', '--layout', layoutOfStore)).toContain(reference)
  const copy = path.join(folder, 'copy')
  await skopeoCopy(`oci:${layoutOfStore}:${reference}`, `oci:${copy}:again`)
  const unpacked = path.join(folder, 'unpacked')
  await run('umoci', 'raw', 'unpack', '--rootless', '--image', `${copy}:again`, unpacked)
  expect(await readFile(path.join(unpacked, 'etc/top.conf'), 'utf8')).toBe('one top\n')
  for (const name of ['', 'blobs', 'blobs/sha256', 'ingest'])
    expect((await stat(path.join(layoutOfStore, name))).mode & 0o777, name).toBe(0o700)
  for (const name of await readdir(path.join(layoutOfStore, 'blobs/sha256')))
    expect((await stat(path.join(layoutOfStore, 'blobs/sha256', name))).mode & 0o777).toBe(0o444)
})

test('skopeo reads the store while a pull is under way', async () => {
  const { store, layoutOfStore } = await openStore()
  await using _store = store
  const [layer] = (await readLayout(layout)).manifest.layers
  const waiting = Promise.withResolvers<void>()
  const readOn = Promise.withResolvers<void>()
  await using first = await startScriptedRegistry(layout, nothing)
  const { reference } = await pullImage({ reference: `${first.host}/web:made` }, store)
  // The same again under another name, with a layer that has gone.
  await rm(
    store.blobs.pathOf(
      digestOf(await readFile(path.join(layout, 'blobs/sha256', hexOf(layer ?? { digest: '', size: 0 })))),
    ),
  )
  await using second = await startScriptedRegistry(layout, (request, response) => {
    if (layer === undefined || request.url?.endsWith(layer.digest) !== true) return false
    response.writeHead(200, { 'content-length': layer.size })
    readFile(path.join(layout, 'blobs/sha256', hexOf(layer))).then(async (bytes) => {
      response.write(bytes.subarray(0, 100))
      waiting.resolve()
      await readOn.promise
      response.end(bytes.subarray(100))
    }, readOn.reject)
    return true
  })
  const pulling = pullImage({ reference: `${second.host}/web:made` }, store)
  await waiting.promise
  expect(await readdir(path.join(layoutOfStore, 'ingest'))).toHaveLength(1)
  expect(await run('skopeo', 'inspect', '--raw', `oci:${layoutOfStore}:${reference}`)).toContain('layers')
  expect(await run('umoci', 'ls', '--layout', layoutOfStore)).not.toContain(second.host)
  readOn.resolve()
  await pulling
  expect(await run('umoci', 'ls', '--layout', layoutOfStore)).toContain(second.host)
})

// skopeo of Debian 12 hashes blobs with sha256 only, so it cannot be asked for more than the manifest.
test('an image whose blobs are named by sha512 is pulled, and other tools find it', async () => {
  const { manifest, blobs } = await readLayout(layout)
  const files = new Map<string, Buffer>()
  const renamed = async (part: { digest: string; size: number }) => {
    const bytes = await readFile(path.join(blobs, hexOf(part)))
    const digest = `sha512:${createHash('sha512').update(bytes).digest('hex')}`
    files.set(digest, bytes)
    return { ...part, digest }
  }
  const document = Buffer.from(
    JSON.stringify({
      ...manifest,
      config: await renamed(manifest.config),
      layers: await Promise.all(manifest.layers.map(renamed)),
    }),
  )
  const manifestDigest = `sha512:${createHash('sha512').update(document).digest('hex')}`
  await using registry = await startScriptedRegistry(layout, (request, response) => {
    const key = decodeURIComponent(request.url?.split('/').at(-1) ?? '')
    if (request.url?.includes('/manifests/') === true) {
      const headers = {
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
        'content-length': document.length,
        'docker-content-digest': manifestDigest,
      }
      response.writeHead(200, headers).end(request.method === 'HEAD' ? undefined : document)
      return true
    }
    const bytes = files.get(key)
    if (bytes !== undefined) response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
    return bytes !== undefined
  })
  const { store, layoutOfStore } = await openStore()
  await using _store = store
  const { reference, digest } = await pullImage({ reference: `${registry.host}/web:made` }, store)
  expect(digest).toBe(manifestDigest)
  expect(await readdir(path.join(layoutOfStore, 'blobs/sha512'))).toHaveLength(manifest.layers.length + 2)
  expect((await store.check({})).problems).toEqual([])
  expect(await run('skopeo', 'inspect', '--raw', `oci:${layoutOfStore}:${reference}`)).toBe(
    document.toString(),
  )
  expect(await run('umoci', 'ls', '--layout', layoutOfStore)).toContain(reference)
})

test('a blob that other tools damaged is found and fetched again', async () => {
  const { store } = await openStore()
  await using _store = store
  await using registry = await startScriptedRegistry(layout, nothing)
  const reference = `${registry.host}/web:made`
  await pullImage({ reference }, store)
  const [layer] = (await store.openImage(reference)).manifest.layers
  const file = store.blobs.pathOf(layer?.digest ?? digestOf(Buffer.of()))
  const bytes = await readFile(file)
  bytes[20] = (bytes[20] ?? 0) ^ 1
  await rm(file)
  await writeFile(file, bytes)
  expect((await store.check({ repair: true })).problems).toHaveLength(2)
  expect((await pullImage({ reference }, store)).isNew).toBe(true)
  expect((await store.check({})).problems).toEqual([])
})
