import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Digest } from '../digest.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import { parseReference } from '../reference.ts'
import { ImageStore } from './image-store.ts'
import type { PruneOptions } from './sweep-store.ts'

let root: string
let store: ImageStore

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'bulkhead-store-'))
  store = await ImageStore.open(root)
})

afterEach(async () => {
  await store[Symbol.asyncDispose]()
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

/** Stands for a root image of an image in the store. */
async function addRootImage(imageDigest: Digest): Promise<void> {
  const { manifest, config } = await store.openImage(imageDigest)
  await store.rootImages.add(imageDigest, async (output) => {
    await writeFile(output, 'squashfs')
    return {
      formatVersion: 2,
      format: 'squashfs',
      imageDigest,
      configDigest: manifest.config.digest,
      sizeBytes: 8,
      uncompressedBytes: 9,
      entries: 1,
      runConfig: config.run,
    }
  })
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
    await store[Symbol.asyncDispose]()
    store = await ImageStore.open(root)
    expect((await store.resolve('web:1')).digest).toBe(digest)
  })

  test('opening drops what a crash left half written, and only that', async () => {
    await addImage('layer', 'web:1')
    await store[Symbol.asyncDispose]()
    await writeFile(path.join(root, 'store/ingest/blob.tmp-1'), 'half')
    await writeFile(path.join(root, 'images/x.squashfs.tmp-1'), 'half')
    await writeFile(path.join(root, 'images/x.json'), '{}')
    await writeFile(path.join(root, 'store/index.json.tmp-1'), 'half')
    store = await ImageStore.open(root)
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
    expect(await readdir(path.join(root, 'images'))).toEqual([])
    expect(existsSync(path.join(root, 'store/index.json.tmp-1'))).toBe(false)
    expect(await blobCount()).toBe(3)
  })

  test('a damaged list of images is reported and not replaced', async () => {
    await store[Symbol.asyncDispose]()
    const file = path.join(root, 'store/index.json')
    await writeFile(file, '{"schemaVersion":2,')
    store = await ImageStore.open(root)
    await expect(store.list()).rejects.toThrow(coded('oci.corrupt-store'))
    await expect(store.sweep()).rejects.toThrow(coded('oci.corrupt-store'))
    expect(await readFile(file, 'utf8')).toBe('{"schemaVersion":2,')
    await rm(file)
    await store[Symbol.asyncDispose]()
    store = await ImageStore.open(root)
    await expect(store.list()).rejects.toThrow(coded('oci.corrupt-store'))
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

  test.each(['squashfs', 'json'])(
    'does not follow a link in the place of a root image: %s',
    async (suffix) => {
      const digest = await addImage('one', 'a:1')
      await addRootImage(digest)
      const { key = '' } = (await store.rootImages.find(digest)) ?? {}
      const file = path.join(root, 'images', `${key}.${suffix}`)
      await rename(file, path.join(root, 'elsewhere'))
      await symlink(path.join(root, 'elsewhere'), file)
      expect(await store.rootImages.find(digest)).toBeUndefined()
    },
  )

  test('removes the root images made of it', async () => {
    const digest = await addImage('one', 'a:1')
    const other = await addImage('two', 'b:1')
    for (const each of [digest, other]) await addRootImage(each)
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

describe('prune()', () => {
  const everything = async () => (await readdir(root, { recursive: true })).sort()

  /** What a dry run tells must be what the real run does. */
  async function pruneBothWays(options: PruneOptions) {
    const before = await everything()
    const told = await store.prune({ ...options, dryRun: true })
    expect(await everything()).toEqual(before)
    const bytesBefore = await sizeOfAll()
    expect(await store.prune(options)).toEqual(told)
    const indexBytes = 20_000
    expect(Math.abs(bytesBefore - (await sizeOfAll()) - told.freedBytes)).toBeLessThan(indexBytes)
    return told
  }

  async function sizeOfAll(): Promise<number> {
    let bytes = 0
    for (const name of await readdir(root, { recursive: true })) {
      const status = await stat(path.join(root, name))
      if (status.isFile()) bytes += status.size
    }
    return bytes
  }

  test('takes images without a tag, and what broken-off downloads left', async () => {
    const old = await addImage('x'.repeat(100_000), 'web:1')
    await addImage('young', 'web:1')
    await writeFile(path.join(root, 'store/ingest', `sha256-${'0'.repeat(64)}.part`), Buffer.alloc(100_000))
    const { images, freedBytes } = await pruneBothWays({})
    expect(images).toEqual([{ reference: `docker.io/library/web@${old}`, digest: old }])
    expect(freedBytes).toBeGreaterThan(200_000)
    expect(await names()).toEqual(['docker.io/library/web:1'])
    expect(await blobCount()).toBe(3)
  })

  test('with all, takes every image but those that guests were made of or that are held', async () => {
    const used = await addImage('used', 'used:1')
    const held = await addImage('held', 'held:1')
    const free = await addImage('free', 'free:1', 'free:2')
    using hold = store.blobs.hold()
    hold.add(held)
    const { images } = await pruneBothWays({ all: true, inUse: [used] })
    expect(images.map(({ digest }) => digest)).toEqual([free, free])
    expect(await names()).toEqual(['docker.io/library/used:1', 'docker.io/library/held:1'])
  })

  test('with derived, takes root images and segments that no guest uses', async () => {
    const used = await addImage('used', 'used:1')
    const other = await addImage('other', 'other:1')
    for (const digest of [used, other]) await addRootImage(digest)
    await pruneBothWays({})
    expect(await store.rootImages.find(other)).toBeDefined()
    const { images, freedBytes } = await pruneBothWays({ derived: true, inUse: [used] })
    expect(images).toEqual([])
    expect(freedBytes).toBe(8)
    expect(await store.rootImages.find(used)).toBeDefined()
    expect(await store.rootImages.find(other)).toBeUndefined()
    expect(await names()).toHaveLength(2)
  })
})

describe('check()', () => {
  const subjects = async (options = {}) => {
    const { problems } = await store.check(options)
    return problems.map(({ subject, repaired }) => [subject, repaired])
  }

  test('finds nothing in a sound store, and says how much it read', async () => {
    await addImage('one', 'web:1', 'web:2')
    const seen: number[] = []
    const report = await store.check({ onProgress: ({ bytesDone }) => seen.push(bytesDone) })
    expect(report).toMatchObject({ blobs: 3, images: 1, problems: [] })
    expect(seen.at(-1)).toBe(report.bytes)
  })

  test('finds damaged blobs and what lacks them, and repairs so that nothing dangles', async () => {
    await addImage('fine', 'fine:1')
    const digest = await addImage('damaged', 'web:1', 'web:2')
    const [layer] = (await store.openImage('web:1')).manifest.layers
    if (layer === undefined) throw new Error('no layer')
    await chmod(store.blobs.pathOf(layer.digest), 0o600)
    await writeFile(store.blobs.pathOf(layer.digest), 'DAMAGED')
    const found = [layer.digest, 'docker.io/library/web:1', 'docker.io/library/web:2']
    expect(await subjects()).toEqual(found.map((subject) => [subject, false]))
    expect(await names()).toHaveLength(3)
    expect(await subjects({ repair: true })).toEqual(found.map((subject) => [subject, true]))
    expect(await names()).toEqual(['docker.io/library/fine:1'])
    expect(await subjects()).toEqual([])
    expect(await addImage('damaged', 'web:1')).toBe(digest)
    expect(await subjects()).toEqual([])
  })

  test.each(['manifest', 'config'])('finds a %s that is missing', async (part) => {
    const digest = await addImage('one', 'web:1')
    const { manifest } = await store.openImage('web:1')
    await rm(store.blobs.pathOf(part === 'manifest' ? digest : manifest.config.digest))
    expect(await subjects({ repair: true })).toEqual([['docker.io/library/web:1', true]])
    expect(await names()).toEqual([])
  })

  test('restores a damaged list of images from its copy', async () => {
    await addImage('one', 'web:1')
    const file = path.join(root, 'store/index.json')
    await writeFile(file, '{"schemaVersion":2,')
    expect(await subjects()).toEqual([['index.json', false]])
    expect(await subjects({ repair: true })).toEqual([['index.json', true]])
    expect(await names()).toEqual(['docker.io/library/web:1'])
    expect(await readFile(`${file}.damaged`, 'utf8')).toBe('{"schemaVersion":2,')
  })

  test('finds the images again when the copy is damaged too', async () => {
    const digest = await addImage('one', 'web:1')
    for (const name of ['index.json', 'index.copy.json']) await writeFile(path.join(root, 'store', name), '?')
    await store.check({ repair: true })
    expect(await names()).toEqual([`docker.io/library/recovered@${digest}`])
    expect((await store.openImage(digest)).digest).toBe(digest)
  })

  test('tells of entries and files of others, and leaves them alone', async () => {
    await addImage('one', 'web:1')
    const file = path.join(root, 'store/index.json')
    const index = JSON.parse(await readFile(file, 'utf8'))
    const foreign = { ...index.manifests[0], digest: `sha256:${'0'.repeat(64)}`, annotations: {} }
    await writeFile(file, JSON.stringify({ ...index, manifests: [...index.manifests, foreign] }))
    await writeFile(path.join(root, 'store/blobs/sha256/notes.txt'), 'mine')
    await writeFile(path.join(root, 'images/notes.txt'), 'mine')
    expect(await subjects({ repair: true })).toEqual([
      ['blobs/sha256/notes.txt', false],
      [foreign.digest, false],
      ['images/notes.txt', false],
    ])
    expect(JSON.parse(await readFile(file, 'utf8')).manifests).toHaveLength(2)
    expect(existsSync(path.join(root, 'images/notes.txt'))).toBe(true)
  })

  test('removes root images that do not fit their records, but never one that a guest uses', async () => {
    const used = await addImage('used', 'used:1')
    const other = await addImage('other', 'other:1')
    for (const digest of [used, other]) {
      await addRootImage(digest)
      const file = (await store.rootImages.find(digest))?.path ?? ''
      await chmod(file, 0o600)
      await writeFile(file, 'short')
    }
    const repaired = (await subjects({ repair: true, inUse: [used] })).map(([, isRepaired]) => isRepaired)
    expect(repaired.sort()).toEqual([false, true])
    expect(await readdir(path.join(root, 'images'))).toHaveLength(2)
  })
})
