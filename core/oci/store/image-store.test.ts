import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Digest } from '../digest.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import { parseReference } from '../reference.ts'
import { ImageStore } from './image-store.ts'

let root: string
let store: ImageStore

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'bulkhead-store-'))
  store = await ImageStore.open(root)
})

afterEach(async () => {
  store[Symbol.dispose]()
  await rm(root, { recursive: true })
})

/** Stores an image of one layer with this content, as a pull would. */
async function addImage(content: string, ...names: string[]): Promise<Digest> {
  const layer = await store.blobs.put(Buffer.from(content), 'layer')
  const configText = {
    os: 'linux',
    architecture: 'amd64',
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
  }
  const config = await store.blobs.put(Buffer.from(JSON.stringify(configText)), 'config')
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, ...config },
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, ...layer }],
  }
  const manifest = await store.blobs.put(Buffer.from(JSON.stringify(document)), 'manifest')
  for (const name of names) {
    await store.setReference(parseReference(name), { mediaType: MEDIA_TYPES.ociManifest, ...manifest })
  }
  return manifest.digest
}

const blobCount = async () => (await readdir(path.join(root, 'store/blobs/sha256'))).length
const names = async () => (await store.list()).map(({ name }) => name)
const coded = (code: string) => expect.objectContaining({ code })

describe('on disk', () => {
  test('the store is an OCI layout with read-only blobs named by their content', async () => {
    await addImage('layer', 'web:1')
    expect(JSON.parse(await readFile(path.join(root, 'store/oci-layout'), 'utf8'))).toEqual({
      imageLayoutVersion: '1.0.0',
    })
    const folder = path.join(root, 'store/blobs/sha256')
    for (const name of await readdir(folder)) {
      const file = path.join(folder, name)
      expect(
        createHash('sha256')
          .update(await readFile(file))
          .digest('hex'),
      ).toBe(name)
      expect((await stat(file)).mode & 0o777).toBe(0o444)
    }
    const index = JSON.parse(await readFile(path.join(root, 'store/index.json'), 'utf8'))
    expect(index.manifests[0].annotations).toMatchObject({
      'org.opencontainers.image.ref.name': 'docker.io/library/web:1',
      'io.containerd.image.name': 'docker.io/library/web:1',
    })
  })

  test('references survive closing and opening', async () => {
    const digest = await addImage('layer', 'web:1')
    store[Symbol.dispose]()
    store = await ImageStore.open(root)
    expect((await store.resolve('web:1')).digest).toBe(digest)
  })

  test('opening drops what a crash left half written, and only that', async () => {
    await addImage('layer', 'web:1')
    store[Symbol.dispose]()
    await writeFile(path.join(root, 'store/ingest/blob.tmp-1'), 'half')
    await writeFile(path.join(root, 'images/x.squashfs.tmp-1'), 'half')
    store = await ImageStore.open(root)
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
    expect(await readdir(path.join(root, 'images'))).toEqual([])
    expect(await blobCount()).toBe(3)
  })

  test('a damaged list of images is reported and not replaced', async () => {
    store[Symbol.dispose]()
    const file = path.join(root, 'store/index.json')
    await writeFile(file, '{"schemaVersion":2,')
    await expect(ImageStore.open(root)).rejects.toThrow(coded('oci.corrupt-store'))
    expect(await readFile(file, 'utf8')).toBe('{"schemaVersion":2,')
  })

  test('a changed document is noticed when it is read', async () => {
    const digest = await addImage('layer', 'web:1')
    const file = store.blobs.pathOf(digest)
    const text = await readFile(file, 'utf8')
    await rm(file)
    await writeFile(file, text.replace('"schemaVersion":2', '"schemaVersion":3'))
    await expect(store.openImage('web:1')).rejects.toThrow(coded('oci.corrupt-store'))
  })

  test('entries and fields of other tools are kept, and nothing they may need is swept', async () => {
    await addImage('layer', 'web:1')
    const file = path.join(root, 'store/index.json')
    const index = JSON.parse(await readFile(file, 'utf8'))
    const foreign = { ...index.manifests[0], annotations: { 'org.example': 'x' }, extra: 1 }
    await writeFile(
      file,
      JSON.stringify({ ...index, annotations: { a: 'b' }, manifests: [...index.manifests, foreign] }),
    )
    await store.remove('web:1')
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({
      annotations: { a: 'b' },
      manifests: [foreign],
    })
    expect(await blobCount()).toBe(3)
  })
})

describe('resolve()', () => {
  test('finds an image by name in every form, by digest and by the first digits', async () => {
    const digest = await addImage('one', 'web:1', 'quay.io/a/b')
    await addImage('two', 'other')
    const hex = digest.slice('sha256:'.length)
    for (const key of [
      'web:1',
      'docker.io/library/web:1',
      'quay.io/a/b:latest',
      `web@${digest}`,
      `web:1@${digest}`,
      digest,
      hex,
      hex.slice(0, 12),
    ]) {
      expect((await store.resolve(key)).digest, key).toBe(digest)
    }
    const { references } = await store.resolve(digest)
    expect(references.map(({ name }) => name)).toEqual(['docker.io/library/web:1', 'quay.io/a/b:latest'])
  })

  test('finds an image by the digest of its config and of the index that it came from', async () => {
    const digest = await addImage('one', 'web:1')
    const { manifest } = await store.openImage('web:1')
    expect((await store.resolve(manifest.config.digest)).digest).toBe(digest)
    const indexDigest: Digest = (await store.blobs.put(Buffer.from('index'), 'index')).digest
    const [entry] = await store.list()
    if (entry === undefined) throw new Error('no entry')
    await store.setReference(entry.reference, entry.manifest, { indexDigest })
    expect((await store.resolve(`web@${indexDigest}`)).digest).toBe(digest)
    expect((await store.resolve(indexDigest)).digest).toBe(digest)
  })

  test('says what is missing and how to get it', async () => {
    await expect(store.resolve('web:2')).rejects.toThrow('There is no image "web:2" on this host')
    await expect(store.resolve('web:2')).rejects.toThrow(
      expect.objectContaining({ hint: 'Fetch it with "bulkhead pull web:2".' }),
    )
    await expect(store.resolve('deadbeef')).rejects.toThrow(coded('oci.not-found'))
    await expect(store.resolve('UPPER')).rejects.toThrow(coded('oci.bad-reference'))
  })

  test('refuses a prefix that fits several images', async () => {
    const digests: Digest[] = []
    for (let number = 0; number < 300; number++) digests.push(await addImage(String(number), `web:${number}`))
    const byPrefix = Map.groupBy(digests, (digest) => digest.slice(7, 9))
    const shared = [...byPrefix].find(([, group]) => group.length > 1)
    if (shared === undefined) throw new Error('no shared prefix among 300 digests')
    await expect(store.resolve(shared[0])).rejects.toThrow(coded('oci.ambiguous'))
  })
})

describe('names', () => {
  test('tag() adds a name to an image', async () => {
    const digest = await addImage('one', 'web:1')
    expect(await store.tag('web:1', 'quay.io/me/web:2')).toBe('quay.io/me/web:2')
    expect((await store.resolve('quay.io/me/web:2')).digest).toBe(digest)
    await expect(store.tag('web:1', `x@${digest}`)).rejects.toThrow(coded('oci.bad-reference'))
  })

  test('an image whose name moves on stays there under its digest', async () => {
    const old = await addImage('old', 'web:1')
    const young = await addImage('young', 'web:1')
    expect((await store.resolve('web:1')).digest).toBe(young)
    expect(await names()).toEqual(['docker.io/library/web:1', `docker.io/library/web@${old}`])
    expect((await store.resolve(old)).digest).toBe(old)
  })

  test('many changes at the same time are all kept', async () => {
    await addImage('one', 'web:0')
    await Promise.all(Array.from({ length: 20 }, (_, number) => store.tag('web:0', `web:${number + 1}`)))
    expect((await names()).length).toBe(21)
  })
})

describe('remove()', () => {
  test('takes the name away, and with the last name the blobs that no other image needs', async () => {
    await addImage('shared', 'a:1', 'a:2')
    await addImage('own', 'b:1')
    expect(await blobCount()).toBe(6)
    expect(await store.remove('a:1')).toEqual({
      untagged: ['docker.io/library/a:1'],
      deleted: [],
      freedBytes: 0,
    })
    expect(await blobCount()).toBe(6)
    const removed = await store.remove('a:2')
    expect(removed.deleted).toHaveLength(1)
    expect(removed.freedBytes).toBeGreaterThan(0)
    expect(await blobCount()).toBe(3)
    expect(await names()).toEqual(['docker.io/library/b:1'])
  })

  test('by id removes an image with one name, and one with several only by force', async () => {
    const digest = await addImage('one', 'a:1', 'a:2')
    await expect(store.remove(digest)).rejects.toThrow('2 names lead to it')
    expect((await store.remove(digest.slice(7, 19), { force: true })).untagged).toHaveLength(2)
    expect(await names()).toEqual([])
  })

  test('refuses an image that guests were made of; by force the guests keep what they need', async () => {
    const digest = await addImage('one', 'a:1')
    await expect(store.remove('a:1', { inUse: [digest] })).rejects.toThrow(coded('oci.in-use'))
    await store.remove('a:1', { inUse: [digest], force: true })
    expect(await names()).toEqual([])
    expect(await blobCount()).toBe(3)
    await store.sweep()
    expect(await blobCount()).toBe(0)
  })

  test('leaves alone what work under way holds', async () => {
    const digest = await addImage('one', 'a:1')
    const hold = store.blobs.hold()
    hold.add(digest)
    await store.remove('a:1')
    expect(await blobCount()).toBe(1)
    hold[Symbol.dispose]()
    await store.sweep()
    expect(await blobCount()).toBe(0)
  })

  test('removes the root images made of it', async () => {
    const digest = await addImage('one', 'a:1')
    const other = await addImage('two', 'b:1')
    const { manifest, config } = await store.openImage('a:1')
    for (const imageDigest of [digest, other]) {
      await store.rootImages.add(imageDigest, async (output) => {
        await writeFile(output, 'squashfs')
        return {
          formatVersion: 2,
          format: 'squashfs' as const,
          imageDigest,
          configDigest: manifest.config.digest,
          sizeBytes: 8,
          uncompressedBytes: 9,
          entries: 1,
          runConfig: config.run,
        }
      })
    }
    const file = await store.rootImages.find(digest)
    expect(file?.record.sizeBytes).toBe(8)
    await store.remove('a:1')
    expect(existsSync(file?.path ?? '')).toBe(false)
    expect(await store.rootImages.find(digest)).toBeUndefined()
    expect(await store.rootImages.find(other)).toBeDefined()
    await writeFile(path.join(root, 'images', `${'0'.repeat(64)}.squashfs`), 'without a record')
    await writeFile(path.join(root, 'images', `${'1'.repeat(64)}.json`), 'damaged')
    await store.sweep()
    expect(await readdir(path.join(root, 'images'))).toHaveLength(2)
  })

  test('works beside an image that is damaged', async () => {
    const damaged = await addImage('damaged', 'a:1')
    await addImage('fine', 'b:1')
    await rm(store.blobs.pathOf(damaged))
    await store.remove('b:1')
    await store.remove('a:1')
    expect(await blobCount()).toBe(0)
  })
})
