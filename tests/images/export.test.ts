// Archives that we save, read by other tools and by ourselves.

import { createReadStream, createWriteStream } from 'node:fs'
import { appendFile, mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Digest } from '../../core/oci/digest.ts'
import type { ArchiveFormat } from '../../core/oci/export/archive-plan.ts'
import { exportImages } from '../../core/oci/export/export-images.ts'
import { importArchive } from '../../core/oci/import/import-archive.ts'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { run } from './commands.ts'
import { hexOf, type MadeImage, makeImage, packFolder, readLayout, skopeoCopy } from './made-images.ts'

let folder: string
let made: MadeImage
let store: ImageStore
/** web:1 and web:2 share their layers; packed:1 has the same in zstd, old:1 is of Docker's types. */
let webDigest: string

const formats = ['oci-archive', 'docker-archive'] as const
const coded = (code: string) => expect.objectContaining({ code })

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-export-'))
  made = await makeImage(path.join(folder, 'made'))
  const other = await makeImage(path.join(folder, 'other'), 'two')
  webDigest = (await readLayout(made.layout)).entry.digest
  store = await ImageStore.open(path.join(folder, 'store'))
  const image = `oci:${made.layout}:made`
  await skopeoCopy(image, `oci-archive:${folder}/web.tar:web:1`)
  await skopeoCopy(
    `oci:${other.layout}:made`,
    `oci-archive:${folder}/other.tar:registry.example:5000/team/other:7`,
  )
  const zstd = ['--dest-compress', '--dest-compress-format', 'zstd']
  for (const [name, more] of [
    ['packed', zstd],
    ['old', ['--format', 'v2s2']],
  ] as const) {
    await skopeoCopy(image, `dir:${folder}/${name}`, ...more)
    await packFolder(path.join(folder, name), path.join(folder, `${name}.tar`))
  }
  for (const name of ['web', 'other', 'packed', 'old'])
    await importArchive(
      createReadStream(path.join(folder, `${name}.tar`)),
      store,
      ['packed', 'old'].includes(name) ? { name: `${name}:1` } : {},
    )
  await store.tag('web:1', 'web:2')
})

afterAll(async () => {
  await store[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function save(images: readonly string[], format: ArchiveFormat, from = store): Promise<string> {
  const file = path.join(folder, `${crypto.randomUUID()}.tar`)
  const { sizeBytes } = await exportImages(from, { images, format }, (bytes) =>
    pipeline(Readable.from(bytes), createWriteStream(file)),
  )
  expect((await stat(file)).size).toBe(sizeBytes)
  return file
}

const members = async (file: string) => (await run('tar', '-tf', file)).trimEnd().split('\n')
const inspect = async (reference: string): Promise<{ config: unknown; layers: string[] }> => ({
  config: JSON.parse(await run('skopeo', '--insecure-policy', 'inspect', '--config', reference)),
  layers: JSON.parse(await run('skopeo', '--insecure-policy', 'inspect', reference)).Layers,
})

describe('skopeo', () => {
  test('finds the image in an oci-archive, with the layers it had', async () => {
    const file = await save(['web:1'], 'oci-archive')
    expect(await inspect(`oci-archive:${file}`)).toEqual(await inspect(`oci:${made.layout}:made`))
    expect(await inspect(`oci-archive:${file}:docker.io/library/web:1`)).toEqual(
      await inspect(`oci:${made.layout}:made`),
    )
  })

  test.each(['web:1', 'packed:1', 'old:1'])('reads a docker-archive with %s both ways', async (image) => {
    const file = await save([image], 'docker-archive')
    for (const reference of [
      `docker-archive:${file}`,
      `docker-archive:${file}:${image}`,
      `oci-archive:${file}`,
    ]) {
      const copy = path.join(folder, crypto.randomUUID())
      await skopeoCopy(reference, `oci:${copy}:copy`)
      const wanted = (await inspect(`oci:${made.layout}:made`)).config
      expect((await inspect(`oci:${copy}:copy`)).config).toEqual(wanted)
    }
  })

  test('finds each of several images by each of its names', async () => {
    const images = ['web:1', 'registry.example:5000/team/other:7', 'web:2']
    const docker = await save(images, 'docker-archive')
    const oci = await save(images, 'oci-archive')
    for (const image of images) {
      const full = image.startsWith('web') ? `docker.io/library/${image}` : image
      const wanted = await inspect(`oci-archive:${oci}:${full}`)
      expect((await inspect(`docker-archive:${docker}:${image}`)).config).toEqual(wanted.config)
    }
  })
})

test('umoci unpacks an oci-archive', async () => {
  const file = await save(['web:1'], 'oci-archive')
  const layout = path.join(folder, crypto.randomUUID())
  await run('mkdir', layout)
  await run('tar', '-C', layout, '-xf', file)
  const bundle = path.join(folder, crypto.randomUUID())
  await run('umoci', 'raw', 'unpack', '--image', `${layout}:docker.io/library/web:1`, bundle)
  expect(await readFile(path.join(bundle, 'etc/top.conf'), 'utf8')).toBe('one top\n')
})

test.each(formats)('buildah takes images from %s under their names', async (format) => {
  const policy = path.join(folder, 'policy.json')
  await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
  const base = path.join(folder, crypto.randomUUID())
  const buildah = (...args: string[]) =>
    run('buildah', '--root', base, '--runroot', `${base}-run`, '--storage-driver', 'vfs', ...args)
  const names = ['docker.io/library/web:1', 'registry.example:5000/team/other:7']
  for (const name of names) {
    const file = await save([name], format)
    await buildah('pull', '--quiet', '--signature-policy', policy, `${format}:${file}`)
  }
  const images: { names: string[] }[] = JSON.parse(await buildah('images', '--json'))
  expect(images.flatMap((image) => image.names).toSorted()).toEqual(names)
})

describe('our own import', () => {
  test.each(formats)('of our %s brings the same digests and names', async (format) => {
    const images = ['web:1', 'registry.example:5000/team/other:7', 'packed:1', 'old:1', 'web:2']
    const file = await save(images, format)
    await using again = await ImageStore.open(await mkdtemp(path.join(folder, 'again-')))
    const names = await importArchive(createReadStream(file), again)
    expect(names.toSorted()).toEqual(
      [
        'docker.io/library/old:1',
        'docker.io/library/packed:1',
        'docker.io/library/web:1',
        'docker.io/library/web:2',
        'registry.example:5000/team/other:7',
      ].toSorted(),
    )
    for (const image of images)
      expect((await again.resolve(image)).digest).toBe((await store.resolve(image)).digest)
    // And from there the same bytes.
    expect(await readFile(await save(images, format, again))).toEqual(await readFile(file))
  })
})

test('what images share is in the archive once, and the archive is the same each time', async () => {
  const images = ['web:1', 'old:1', 'web:2', 'registry.example:5000/team/other:7']
  const file = await save(images, 'docker-archive')
  const names = await members(file)
  expect(names).toEqual([...new Set(names)])
  expect(names.slice(0, 6)).toEqual([
    'oci-layout',
    'index.json',
    'manifest.json',
    'repositories',
    'blobs/',
    'blobs/sha256/',
  ])
  expect(await readFile(await save(images, 'docker-archive'))).toEqual(await readFile(file))
})

test('manifest.json and repositories are those of docker', async () => {
  const file = await save(['web:1', 'web:2'], 'docker-archive')
  const read = async (name: string) => JSON.parse(await run('tar', '-xOf', file, name))
  const { manifest } = await readLayout(made.layout)
  const layers = manifest.layers.map(hexOf)
  expect(await read('manifest.json')).toEqual([
    {
      Config: `blobs/sha256/${hexOf(manifest.config)}`,
      RepoTags: ['docker.io/library/web:1', 'docker.io/library/web:2'],
      Layers: layers.map((hex) => `blobs/sha256/${hex}`),
    },
  ])
  expect(await read('repositories')).toEqual({ web: { '1': layers.at(-1), '2': layers.at(-1) } })
  const { manifests } = await read('index.json')
  expect(manifests.map(({ annotations }: { annotations: unknown }) => annotations)).toEqual(
    ['1', '2'].map((tag) => ({
      'io.containerd.image.name': `docker.io/library/web:${tag}`,
      'org.opencontainers.image.ref.name': tag,
    })),
  )
})

test('an image that is asked for by its id has no name in the archive', async () => {
  const file = await save([webDigest], 'docker-archive')
  const [entry] = JSON.parse(await run('tar', '-xOf', file, 'manifest.json'))
  expect(entry.RepoTags).toBeNull()
  expect(await inspect(`docker-archive:${file}`)).toBeDefined()
  await using again = await ImageStore.open(await mkdtemp(path.join(folder, 'again-')))
  expect(await importArchive(createReadStream(file), again)).toEqual([
    `docker.io/library/imported:${webDigest.slice(7, 19)}`,
  ])
})

test('progress ends at the size that was told first', async () => {
  const seen: ImageProgress[] = []
  const { sizeBytes } = await exportImages(
    store,
    { images: ['web:1'], format: 'oci-archive', onProgress: (progress) => seen.push(progress) },
    async (bytes) => void (await buffer(bytes)),
  )
  expect(new Set(seen.map(({ bytesTotal }) => bytesTotal))).toEqual(new Set([sizeBytes]))
  expect(seen.at(0)?.bytesDone).toBe(0)
  expect(seen.at(-1)?.bytesDone).toBe(sizeBytes)
})

describe('a store that is damaged', () => {
  async function damaged(damage: (file: string) => Promise<void>) {
    const root = await mkdtemp(path.join(folder, 'damaged-'))
    const copy = await ImageStore.open(root)
    await importArchive(createReadStream(path.join(folder, 'web.tar')), copy)
    const { manifest } = await copy.openImage('web:1')
    await damage(copy.blobs.pathOf(manifest.layers[0]?.digest as Digest))
    return copy
  }
  const send = async (from: ImageStore) =>
    exportImages(
      from,
      { images: ['web:1'], format: 'oci-archive' },
      async (bytes) => void (await buffer(bytes)),
    )

  test('breaks the archive off at a blob that is not what its name says', async () => {
    await using changed = await damaged(async (file) => {
      const bytes = await readFile(file)
      bytes[100] = (bytes[100] ?? 0) ^ 1
      await writeFile(file, bytes)
    })
    await expect(send(changed)).rejects.toThrow(coded('oci.corrupt-store'))
  })

  test.each([
    ['too short', (file: string) => truncate(file, 100)],
    ['too long', (file: string) => appendFile(file, 'x')],
    ['gone', (file: string) => rm(file)],
  ])('refuses before the first byte when a blob is %s', async (_, damage) => {
    await using changed = await damaged(damage)
    const sent: Buffer[] = []
    await expect(
      exportImages(changed, { images: ['web:1'], format: 'oci-archive' }, async (bytes) => {
        for await (const chunk of bytes) sent.push(chunk)
      }),
    ).rejects.toThrow(coded('oci.corrupt-store'))
    expect(sent).toEqual([])
  })
})

test('an image that is not there is said so', async () => {
  await expect(save(['web:1', 'nothing:1'], 'oci-archive')).rejects.toThrow(coded('oci.not-found'))
})
