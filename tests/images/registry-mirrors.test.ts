// Mirrors that help, fail and lie: a pull ends well whatever they do, and they never see credentials.

import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import { parseReference } from '../../core/oci/reference.ts'
import { pullImage } from '../../core/oci/registry/pull-image.ts'
import type { MirrorEndpoint } from '../../core/oci/registry/registry-access.ts'
import { openArtifacts } from '../../core/oci/registry/registry-artifacts.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { hexOf, type MadeImage, makeImage, readLayout } from './made-images.ts'
import { type Script, startScriptedRegistry } from './scripted-registry.ts'

const credentials = { username: 'reader', password: 'secret' }
const basic = `Basic ${Buffer.from('reader:secret').toString('base64')}`
const retryPolicy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1000 }

let folder: string
let made: MadeImage
let layer: Buffer
let layerDigest: string
let store: ImageStore
let messages: string[]

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-mirrors-'))
  made = await makeImage(path.join(folder, 'made'))
  const { manifest, blobs } = await readLayout(made.layout)
  const [first] = manifest.layers
  if (first === undefined) throw new Error('no layer')
  layerDigest = first.digest
  layer = await readFile(path.join(blobs, hexOf(first)))
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(async () => {
  messages = []
  store = await ImageStore.open(await mkdtemp(path.join(folder, 'root-')))
})
afterEach(() => store[Symbol.asyncDispose]())

const serve = (script: Script = () => false) => startScriptedRegistry(made.layout, script)
const wantsLogin: Script = (request, response) => {
  if (request.headers.authorization === basic) return false
  response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
  return true
}
const isLayer = ({ url }: IncomingMessage) => url?.endsWith(`/blobs/${layerDigest}`) === true
const isManifest = ({ url }: IncomingMessage) => url?.includes('/manifests/') === true
const pull = (host: string, mirrors: readonly MirrorEndpoint[]) =>
  pullImage({ reference: `${host}/web:made`, mirrors, credentials }, store, {
    retryPolicy,
    log: (message) => messages.push(message),
  })
const expectLayer = async () =>
  expect(await store.blobs.has({ digest: digestOf(layer), size: layer.length })).toBe(true)

test('what a mirror has comes from it, without credentials, and the registry is not asked at all', async () => {
  await using mirror = await serve()
  await using registry = await serve(wantsLogin)
  await pull(registry.host, [{ host: mirror.host }])
  expect(mirror.authorizations.filter((header) => header !== undefined)).toEqual([])
  expect(registry.log).toEqual([])
  expect(messages).toEqual([])
})

test('a prefix goes before the name of the repository', async () => {
  await using mirror = await serve()
  await pull('127.0.0.1:9', [{ host: mirror.host, prefix: 'proxy/hub' }])
  expect(mirror.log.length).toBeGreaterThan(0)
  expect(mirror.log.filter((line) => !line.includes(' /v2/proxy/hub/web/'))).toEqual([])
})

test('one for digests only is not asked where a tag leads', async () => {
  await using mirror = await serve()
  await using registry = await serve(wantsLogin)
  await pull(registry.host, [{ host: mirror.host, digestsOnly: true }])
  expect(mirror.log.filter((line) => line.endsWith('/made'))).toEqual([])
  expect(mirror.log.some((line) => line.includes('/blobs/'))).toBe(true)
  expect(registry.log.filter((line) => line.includes('/blobs/'))).toEqual([])
})

describe('one that fails is passed over with one line:', () => {
  const answer =
    (matches: (request: IncomingMessage) => boolean, status: number, body: string | Buffer = ''): Script =>
    (request, response) => {
      if (request.url === '/v2/' || !matches(request)) return false
      response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
      return true
    }
  const always = () => true

  test.each<[string, () => Script]>([
    ['it has nothing', () => answer(always, 404)],
    ['it is broken', () => answer(always, 500)],
    ['it wants a login', () => answer(always, 401)],
    ['it has had enough', () => answer(always, 429)],
    ['it has a page for people', () => answer(isManifest, 200, '<html>')],
    ['it hangs up', () => (request, response) => request.url !== '/v2/' && Boolean(response.destroy())],
    ['it has no layers', () => answer(isLayer, 404)],
    ['it has wrong layers', () => answer(isLayer, 200, Buffer.alloc(layer.length, 'x'))],
    ['it has layers that are too long', () => answer(isLayer, 200, Buffer.concat([layer, layer]))],
    ['it has layers that end early', () => answer(isLayer, 200, layer.subarray(0, 50))],
    ['it has layers in another encoding', () => answer(isLayer, 200, gzipSync(layer))],
    [
      'it cuts layers off, each time',
      () => (request, response) => {
        if (!isLayer(request)) return false
        response.writeHead(200, { 'content-length': layer.length })
        response.write(layer.subarray(0, 100), () => response.destroy())
        return true
      },
    ],
    [
      'it leads elsewhere',
      () => (request, response) =>
        isLayer(request) && Boolean(response.writeHead(302, { location: 'http://169.254.169.254/' }).end()),
    ],
  ])('%s', async (_, script) => {
    await using mirror = await serve(script())
    await using registry = await serve(wantsLogin)
    await pull(registry.host, [{ host: mirror.host }])
    await expectLayer()
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatch(`The mirror ${mirror.host} of ${registry.host}/web was passed over: `)
    expect(mirror.authorizations.filter((header) => header === basic)).toEqual([])
  })

  test('it is not there', async () => {
    await using registry = await serve(wantsLogin)
    await pull(registry.host, [{ host: '127.0.0.1:9' }, { host: '127.0.0.1:10' }])
    expect(messages).toHaveLength(2)
  })

  test('a tag that leads to another image there is the mirror’s word; a digest is not', async () => {
    const other = await makeImage(path.join(folder, 'other'), 'other')
    await using stale = await startScriptedRegistry(other.layout, () => false)
    await using registry = await serve(wantsLogin)
    const { entry } = await readLayout(made.layout)
    const reference = `${registry.host}/web@${entry.digest}`
    const options = { retryPolicy, log: (message: string) => messages.push(message) }
    const mirrors = [{ host: stale.host }]
    expect(await pullImage({ reference, mirrors, credentials }, store, options)).toMatchObject({
      digest: entry.digest,
    })
    expect(messages).toHaveLength(1)
  })
})

test('a layer that breaks off at a mirror goes on at the registry', async () => {
  const ranges: (string | undefined)[] = []
  let isGone = false
  await using mirror = await serve((request, response) => {
    if (isGone) return Boolean(response.writeHead(503).end())
    if (!isLayer(request)) return false
    isGone = true
    response.writeHead(200, { 'content-length': layer.length })
    response.write(layer.subarray(0, 100), () => response.destroy())
    return true
  })
  await using registry = await serve((request, response) => {
    if (wantsLogin(request, response)) return true
    if (isLayer(request)) ranges.push(request.headers.range)
    return false
  })
  await pull(registry.host, [{ host: mirror.host }])
  await expectLayer()
  expect(ranges).toEqual(['bytes=100-'])
})

test('artifacts come from the registry, and from a mirror only while the registry cannot be reached', async () => {
  await using mirror = await serve()
  await using registry = await serve(wantsLogin)
  const key = (await readLayout(made.layout)).entry.digest
  const mirrors = [{ host: mirror.host }]
  const read = async (host: string) => {
    const access = { mirrors, credentials }
    await using artifacts = await openArtifacts(parseReference(`${host}/web`), access, { retryPolicy })
    return (await artifacts.manifest(key))?.digest
  }
  expect(await read(registry.host)).toBe(key)
  expect(mirror.log).toEqual([])
  expect(await read('127.0.0.1:9')).toBe(key)
  expect(mirror.log.length).toBeGreaterThan(0)
})

test('two pulls of one layer: the second gets it when the first is given up', async () => {
  const leaving = new AbortController()
  const joined = Promise.withResolvers<void>()
  await using registry = await serve((request, response) => {
    if (!isLayer(request)) return false
    response.writeHead(200, { 'content-length': layer.length })
    response.write(layer.subarray(0, 100))
    joined.promise.then(() => {
      leaving.abort()
      // What the first pull leaves behind must not take the connection along.
      setImmediate(() => response.end(layer.subarray(100)))
    })
    return true
  })
  const reference = `${registry.host}/web:made`
  const first = pullImage({ reference }, store, { retryPolicy, signal: leaving.signal })
  first.catch(() => {})
  const second = pullImage({ reference }, store, {
    retryPolicy,
    onProgress: ({ layers }) => {
      if (layers.some(({ digest, bytesDone }) => digest === layerDigest && bytesDone > 0)) joined.resolve()
    },
  })
  await expect(first).rejects.toThrow(expect.objectContaining({ code: 'oci.cancelled' }))
  expect(await second).toMatchObject({ isNew: true })
  await expectLayer()
  expect(registry.log.filter((line) => line.endsWith(layerDigest))).toHaveLength(1)
})
