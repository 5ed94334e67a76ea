// Imports of archives that other tools wrote.

import { createReadStream } from 'node:fs'
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { digestOf } from '../../core/oci/digest.ts'
import { type ImportOptions, importArchive } from '../../core/oci/import/import-archive.ts'
import { openLayer } from '../../core/oci/layer/open-layer.ts'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { RootImageBuilder } from '../../core/oci/root-image-builder.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { run } from './commands.ts'
import { hexOf, type MadeImage, makeImage, packFolder, readLayout, skopeoCopy } from './made-images.ts'

let folder: string
let made: MadeImage
let other: MadeImage
let root: string
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-import-'))
  made = await makeImage(path.join(folder, 'made'))
  other = await makeImage(path.join(folder, 'other'), 'two')
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  store = await ImageStore.open(root)
})

afterEach(() => store[Symbol.asyncDispose]())

const archivePath = () => path.join(folder, `${crypto.randomUUID()}.tar`)
const importFile = (file: string, options?: ImportOptions) =>
  importArchive(createReadStream(file), store, options)
const coded = (code: string) => expect.objectContaining({ code })

/** What every archive of the made image has to come out as: the same config, layers that hash to their diff ids. */
async function expectMadeImage(reference: string, image = made): Promise<void> {
  const { config, manifest } = await store.openImage(reference)
  expect(config.run).toMatchObject({
    Cmd: image.command,
    User: 'web:1000',
    WorkingDir: '/srv',
    ExposedPorts: ['80/tcp'],
  })
  const wanted = JSON.parse(await run('skopeo', 'inspect', '--config', `oci:${image.layout}:made`))
  expect(config.diffIds).toEqual(wanted.rootfs.diff_ids)
  for (const [position, { digest }] of manifest.layers.entries()) {
    const chunks: Buffer[] = []
    for await (const chunk of openLayer({ path: store.blobs.pathOf(digest), layerName: 'layer' }))
      chunks.push(chunk)
    expect(digestOf(Buffer.concat(chunks))).toBe(config.diffIds[position])
  }
}

describe('archives that skopeo writes', () => {
  test('docker-archive, with the name in it', async () => {
    const file = archivePath()
    await skopeoCopy(`oci:${made.layout}:made`, `docker-archive:${file}:web:1`)
    expect(await importFile(file)).toEqual(['docker.io/library/web:1'])
    await expectMadeImage('web:1')
  })

  test('docker-archive with two images, one of them under two names', async () => {
    const file = archivePath()
    // skopeo copies one image at a time; podman and docker put several into one archive.
    const parts = [path.join(folder, 'parts-a'), path.join(folder, 'parts-b')] as const
    for (const [part, image, name] of [
      [parts[0], made, 'a:1'],
      [parts[1], other, 'b:1'],
    ] as const) {
      await skopeoCopy(`oci:${image.layout}:made`, `docker-archive:${part}.tar:${name}`)
      await mkdir(part)
      await run('tar', '-C', part, '-xf', `${part}.tar`)
    }
    const lists = await Promise.all(
      parts.map(async (part) => JSON.parse(await readFile(path.join(part, 'manifest.json'), 'utf8'))),
    )
    lists[0][0].RepoTags.push('quay.io/me/a:latest')
    await rm(path.join(parts[1], 'manifest.json'))
    await cp(parts[1], parts[0], { recursive: true, verbatimSymlinks: true })
    await writeFile(path.join(parts[0], 'manifest.json'), JSON.stringify(lists.flat()))
    await packFolder(parts[0], file)
    expect(await importFile(file)).toEqual([
      'docker.io/library/a:1',
      'quay.io/me/a:latest',
      'docker.io/library/b:1',
    ])
    await expectMadeImage('quay.io/me/a')
    await expectMadeImage('b:1', other)

    await store.remove('b:1')
    expect(await importFile(file, { name: 'b:1' })).toEqual(['docker.io/library/b:1'])
    await expect(importFile(file, { name: 'c:1' })).rejects.toThrow('it holds 2 images')
  })

  test('oci-archive, with and without a name', async () => {
    const named = archivePath()
    await skopeoCopy(`oci:${made.layout}:made`, `oci-archive:${named}:registry.example:5000/team/web:2`)
    expect(await importFile(named)).toEqual(['registry.example:5000/team/web:2'])
    await expectMadeImage('registry.example:5000/team/web:2')

    const unnamed = archivePath()
    await skopeoCopy(`oci:${made.layout}:made`, `oci-archive:${unnamed}`)
    const [reference] = await importFile(unnamed)
    const { digest } = await store.resolve('registry.example:5000/team/web:2')
    expect(reference).toBe(`docker.io/library/imported:${digest.slice(7, 19)}`)
    expect(await importFile(unnamed, { name: 'mine' })).toEqual(['docker.io/library/mine:latest'])
  })

  test('an oci folder in a tar file, with gzip and with zstd layers', async () => {
    for (const format of ['gzip', 'zstd']) {
      const layout = path.join(folder, `layout-${format}`)
      await skopeoCopy(
        `oci:${made.layout}:made`,
        `oci:${layout}:web:${format}`,
        '--dest-compress-format',
        format,
        '--dest-compress',
      )
      const { manifest } = await readLayout(layout)
      expect(JSON.stringify(manifest.layers)).toContain(`tar+${format}`)
      expect(await importFile(await packFolder(layout, archivePath()))).toEqual([
        `docker.io/library/web:${format}`,
      ])
      await expectMadeImage(`web:${format}`)
    }
  })

  test('an oci folder that was packed from outside, under its own name', async () => {
    const file = archivePath()
    await run('tar', '-C', path.dirname(made.layout), '-cf', file, path.basename(made.layout))
    expect(await importFile(file)).toEqual(['docker.io/library/made:latest'])
    await expectMadeImage('made')
  })

  test('a dir folder with zstd layers', async () => {
    const target = path.join(folder, 'dir')
    await skopeoCopy(
      `oci:${made.layout}:made`,
      `dir:${target}`,
      '--dest-compress-format',
      'zstd',
      '--dest-compress',
    )
    expect(await importFile(await packFolder(target, archivePath()), { name: 'from-dir' })).toEqual([
      'docker.io/library/from-dir:latest',
    ])
    await expectMadeImage('from-dir')
  })

  test('an archive that is compressed as a whole', async () => {
    const file = archivePath()
    await skopeoCopy(`oci:${made.layout}:made`, `docker-archive:${file}:web:1`)
    await run('gzip', '-k', file)
    await run('zstd', '-q', file)
    for (const compressed of [`${file}.gz`, `${file}.zst`]) {
      expect(await importFile(compressed)).toEqual(['docker.io/library/web:1'])
      await expectMadeImage('web:1')
    }
    await run('xz', '-k', file)
    await expect(importFile(`${file}.xz`)).rejects.toThrow(coded('oci.unsupported-media'))
  })
})

describe('images that buildah makes', () => {
  test.each(['oci-archive', 'docker-archive'])('arrive by an %s', async (transport) => {
    const base = path.join(folder, `buildah-${transport}`)
    const policy = path.join(folder, 'policy.json')
    await writeFile(policy, '{"default":[{"type":"insecureAcceptAnything"}]}')
    const buildah = (...args: string[]) =>
      run('buildah', '--root', base, '--runroot', `${base}-run`, '--storage-driver', 'vfs', ...args)
    const container = (await buildah('from', '--signature-policy', policy, 'scratch')).trim()
    await buildah('copy', '--quiet', container, path.join(folder, 'made/top'), '/srv')
    await buildah('config', '--cmd', '/srv/serve', '--user', 'web:1000', container)
    await buildah(
      'commit',
      '--quiet',
      '--signature-policy',
      policy,
      container,
      'registry.example/team/built:3',
    )
    const file = archivePath()
    await buildah(
      'push',
      '--quiet',
      '--signature-policy',
      policy,
      'registry.example/team/built:3',
      `${transport}:${file}:registry.example/team/built:3`,
    )
    expect(await importFile(file)).toEqual(['registry.example/team/built:3'])
    const { config } = await store.openImage('registry.example/team/built:3')
    expect(config.run).toMatchObject({ Cmd: ['/srv/serve'], User: 'web:1000' })
  })
})

describe('archives as docker save writes them', () => {
  /** The made image with plain layers, as Docker keeps them. */
  async function plainLayers(target: string) {
    const { manifest, blobs } = await readLayout(made.layout)
    await mkdir(target, { recursive: true })
    const config = await readFile(path.join(blobs, hexOf(manifest.config)))
    const layers: Buffer[] = []
    for (const layer of manifest.layers) {
      const chunks: Buffer[] = []
      for await (const chunk of openLayer({ path: path.join(blobs, hexOf(layer)), layerName: 'layer' }))
        chunks.push(chunk)
      layers.push(Buffer.concat(chunks))
    }
    return { config, configHex: digestOf(config).slice(7), layers }
  }

  test('before version 25: layer.tar in folders, the same layer as a link', async () => {
    const target = path.join(folder, 'docker-old')
    const { config, configHex, layers } = await plainLayers(target)
    await writeFile(path.join(target, `${configHex}.json`), config)
    for (const [position, layer] of layers.entries()) {
      await mkdir(path.join(target, `id${position}`))
      await writeFile(path.join(target, `id${position}`, 'VERSION'), '1.0')
      await writeFile(path.join(target, `id${position}`, 'layer.tar'), layer)
    }
    await mkdir(path.join(target, 'id9'))
    await rename(path.join(target, 'id1/layer.tar'), path.join(target, 'id9/layer.tar'))
    await symlink('../id9/layer.tar', path.join(target, 'id1/layer.tar'))
    const Layers = ['id0/layer.tar', 'id1/layer.tar']
    await writeFile(path.join(target, 'repositories'), '{"web":{"1":"id1"}}')
    await writeFile(
      path.join(target, 'manifest.json'),
      JSON.stringify([{ Config: `${configHex}.json`, RepoTags: ['web:1'], Layers }]),
    )
    expect(await importFile(await packFolder(target, archivePath()))).toEqual(['docker.io/library/web:1'])
    await expectMadeImage('web:1')
  })

  test('since version 25: an OCI layout that has a manifest.json too', async () => {
    const target = path.join(folder, 'docker-new')
    const { config, configHex, layers } = await plainLayers(target)
    const blobs = path.join(target, 'blobs/sha256')
    await mkdir(blobs, { recursive: true })
    const put = async (bytes: Buffer, mediaType: string) => {
      const digest = digestOf(bytes)
      await writeFile(path.join(blobs, digest.slice(7)), bytes)
      return { mediaType, digest, size: bytes.length }
    }
    const stored = await Promise.all(
      layers.map((layer) => put(layer, 'application/vnd.oci.image.layer.v1.tar')),
    )
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const document = {
      schemaVersion: 2,
      mediaType,
      config: await put(config, 'application/vnd.oci.image.config.v1+json'),
      layers: stored,
    }
    const manifest = await put(Buffer.from(JSON.stringify(document)), mediaType)
    const tagged = (tag: string) => ({
      ...manifest,
      annotations: {
        'io.containerd.image.name': `docker.io/library/web:${tag}`,
        'org.opencontainers.image.ref.name': tag,
      },
    })
    const index = { schemaVersion: 2, manifests: [tagged('1'), tagged('latest')] }
    await writeFile(path.join(target, 'index.json'), JSON.stringify(index))
    await writeFile(path.join(target, 'oci-layout'), '{"imageLayoutVersion": "1.0.0"}')
    const Layers = stored.map(({ digest }) => `blobs/sha256/${digest.slice(7)}`)
    const list = [{ Config: `blobs/sha256/${configHex}`, RepoTags: ['web:1', 'web:latest'], Layers }]
    await writeFile(path.join(target, 'manifest.json'), JSON.stringify(list))
    const file = await packFolder(target, archivePath())
    expect(await importFile(file)).toEqual(['docker.io/library/web:1', 'docker.io/library/web:latest'])
    expect((await store.resolve('web:1')).digest).toBe(manifest.digest)
    await expectMadeImage('web')
    expect(await importFile(file, { name: 'mine:3' })).toEqual(['docker.io/library/mine:3'])
  })

  describe('before version 1.10: each layer an image of its own', () => {
    const write = async (top: object, repositories: object = { web: { '1': 'top', latest: 'top' } }) => {
      const target = path.join(folder, `docker-legacy-${crypto.randomUUID()}`)
      const { layers } = await plainLayers(target)
      const documents = [{ id: 'base', created: '2015-01-01T00:00:00Z' }, top]
      for (const [position, id] of ['base', 'top'].entries()) {
        await mkdir(path.join(target, id))
        await writeFile(path.join(target, id, 'json'), JSON.stringify(documents[position]))
        await writeFile(path.join(target, id, 'layer.tar'), layers[position] ?? '')
        await writeFile(path.join(target, id, 'VERSION'), '1.0')
      }
      await writeFile(path.join(target, 'repositories'), JSON.stringify(repositories))
      return packFolder(target, archivePath())
    }
    const top = {
      id: 'top',
      parent: 'base',
      created: '2015-01-02T00:00:00Z',
      architecture: 'amd64',
      os: 'linux',
      Size: 300_000,
      container_config: { Cmd: ['/bin/sh', '-c', 'make'] },
      config: {
        Cmd: ['/bin/serve', '--port', '80'],
        User: 'web:1000',
        WorkingDir: '/srv',
        ExposedPorts: { '80/tcp': {} },
      },
    }

    test('is taken with a config made of them', async () => {
      const file = await write(top)
      expect(await importFile(file)).toEqual(['docker.io/library/web:1', 'docker.io/library/web:latest'])
      await expectMadeImage('web:1')
      const { config, digest } = await store.openImage('web:1')
      expect(config).toMatchObject({ created: '2015-01-02T00:00:00Z', platform: { architecture: 'amd64' } })
      expect(config.history.map(({ createdBy }) => createdBy)).toEqual([undefined, '/bin/sh -c make'])
      await importFile(file, { name: 'again' })
      expect((await store.resolve('again')).digest).toBe(digest)
    })

    test.each([
      ['a chain without end', { ...top, parent: 'top' }, undefined, 'oci.limit'],
      ['a parent that is not there', { ...top, parent: 'gone' }, undefined, 'oci.bad-archive'],
      ['a parent outside of the archive', { ...top, parent: '../../etc' }, undefined, 'oci.bad-archive'],
      ['a name for nothing', top, { web: { '1': 'gone' } }, 'oci.bad-archive'],
      ['names of another form', top, { web: ['1'] }, 'oci.corrupt-image'],
    ])('with %s is refused', async (_, layer, repositories, code) => {
      await expect(importFile(await write(layer, repositories))).rejects.toThrow(coded(code))
      expect(await store.list()).toEqual([])
    })
  })

  test('gzip layers in a docker-archive are checked against what they unpack to', async () => {
    const target = path.join(folder, 'docker-gzip')
    const { config, layers } = await plainLayers(target)
    const Layers = layers.map((_, position) => `${position}.tar`)
    for (const [position, layer] of layers.entries())
      await writeFile(path.join(target, `${position}.tar`), layer)
    for (const name of Layers) {
      await run('gzip', path.join(target, name))
      await rename(path.join(target, `${name}.gz`), path.join(target, name))
    }
    await writeFile(path.join(target, 'config.json'), config)
    await writeFile(
      path.join(target, 'manifest.json'),
      JSON.stringify([{ Config: 'config.json', RepoTags: null, Layers }]),
    )
    const [reference] = await importFile(await packFolder(target, archivePath()))
    expect(reference).toMatch(/^docker\.io\/library\/imported:[0-9a-f]{12}$/)
    await expectMadeImage(reference ?? '')

    await writeFile(
      path.join(target, 'manifest.json'),
      JSON.stringify([{ Config: 'config.json', Layers: Layers.reverse() }]),
    )
    await expect(importFile(await packFolder(target, archivePath()))).rejects.toThrow(
      coded('oci.digest-mismatch'),
    )
  })
})

describe('several platforms', () => {
  test('an index in a layout: the manifest for this machine is taken and its index remembered', async () => {
    const target = path.join(folder, 'platforms')
    await cp(made.layout, target, { recursive: true })
    const { entry, blobs } = await readLayout(target)
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const absent = { mediaType, digest: digestOf(Buffer.from('absent')), size: 6 }
    const manifests = [
      { ...absent, platform: { os: 'linux', architecture: 's390x' } },
      { mediaType, digest: entry.digest, size: entry.size, platform: { os: 'linux', architecture: 'amd64' } },
      { ...absent, platform: { os: 'unknown', architecture: 'unknown' } },
    ]
    const inner = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }))
    await writeFile(path.join(blobs, digestOf(inner).slice(7)), inner)
    const outer = {
      schemaVersion: 2,
      manifests: [
        {
          mediaType: 'application/vnd.oci.image.index.v1+json',
          digest: digestOf(inner),
          size: inner.length,
          annotations: { 'io.containerd.image.name': 'docker.io/library/web:1' },
        },
      ],
    }
    await writeFile(path.join(target, 'index.json'), JSON.stringify(outer))
    const file = await packFolder(target, archivePath())
    const platform = { os: 'linux', architecture: 'amd64' }
    expect(await importFile(file, { platform })).toEqual(['docker.io/library/web:1'])
    expect((await store.resolve(digestOf(inner))).digest).toBe(entry.digest)
    await expectMadeImage('web:1')
    await expect(importFile(file, { platform: { os: 'linux', architecture: 'riscv64' } })).rejects.toThrow(
      'it is there for linux/amd64, linux/s390x',
    )
  })

  test('an image for another machine is refused', async () => {
    const file = await packFolder(made.layout, archivePath())
    await expect(importFile(file, { platform: { os: 'linux', architecture: 'arm64' } })).rejects.toThrow(
      coded('oci.no-platform'),
    )
  })
})

describe('what is wrong is said', () => {
  test.each([
    ['no tar file', Buffer.from('#!/bin/sh\n'.repeat(200)), 'oci.bad-archive'],
    ['nothing', Buffer.alloc(0), 'oci.bad-archive'],
    ['zeros', Buffer.alloc(10240), 'oci.bad-archive'],
  ])('%s', async (_, bytes, code) => {
    await expect(importArchive(Readable.from([bytes]), store)).rejects.toThrow(coded(code))
  })

  test('a file system instead of an image', async () => {
    const file = await packFolder(path.join(folder, 'made/base'), archivePath())
    await expect(importFile(file)).rejects.toThrow(
      expect.objectContaining({ hint: expect.stringContaining('docker export') }),
    )
  })

  test('a cut off archive, and nothing stays behind', async () => {
    const file = await packFolder(made.layout, archivePath())
    await truncate(file, 2000)
    await expect(importFile(file)).rejects.toThrow(coded('oci.bad-archive'))
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
    expect(await store.list()).toEqual([])
  })

  test('a blob that is not what its name says', async () => {
    const target = path.join(folder, 'corrupt')
    await cp(made.layout, target, { recursive: true })
    const { manifest, blobs } = await readLayout(target)
    const [layer] = manifest.layers
    if (layer === undefined) throw new Error('no layer')
    const file = path.join(blobs, hexOf(layer))
    const bytes = await readFile(file)
    bytes[100] = (bytes[100] ?? 0) ^ 1
    await rm(file)
    await writeFile(file, bytes)
    await expect(importFile(await packFolder(target, archivePath()))).rejects.toThrow(
      coded('oci.digest-mismatch'),
    )
    await rm(file)
    await expect(importFile(await packFolder(target, archivePath()))).rejects.toThrow('is missing in it')
    expect(await store.list()).toEqual([])
  })

  test('a caller that gives up', async () => {
    const leaving = new AbortController()
    const endless = async function* () {
      yield Buffer.alloc(512)
      leaving.abort()
      yield Buffer.alloc(512)
    }
    await expect(importArchive(endless(), store, { signal: leaving.signal })).rejects.toThrow(
      coded('oci.cancelled'),
    )
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })
})

test('progress tells what was received, verified and unpacked', async () => {
  const file = archivePath()
  await skopeoCopy(`oci:${made.layout}:made`, `docker-archive:${file}:web:1`)
  const seen: ImageProgress[] = []
  await importFile(file, { onProgress: (progress) => seen.push(progress) })
  expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['receive', 'verify', 'unpack'])
  const last = seen.at(-1)
  expect(last?.bytesDone).toBe(last?.bytesTotal)
  expect(last?.layers.map(({ state }) => state)).toEqual(['done', 'done'])
  // What the build needs has been made.
  const phases = new Set<string>()
  await new RootImageBuilder(store).ensure('web:1', { onProgress: ({ phase }) => phases.add(phase) })
  expect([...phases]).toEqual(['merge', 'write', 'sync'])
})

test('skopeo and umoci read our store', async () => {
  const file = archivePath()
  await skopeoCopy(`oci:${made.layout}:made`, `docker-archive:${file}:web:1`)
  await importFile(file)
  const layout = path.join(root, 'store')
  const config = JSON.parse(
    await run('skopeo', 'inspect', '--config', `oci:${layout}:docker.io/library/web:1`),
  )
  expect(config.config.Cmd).toEqual(made.command)
  await skopeoCopy(`oci:${layout}:docker.io/library/web:1`, `oci:${path.join(folder, 'copied-out')}:web`)
  expect(await run('umoci', 'list', '--layout', layout)).toBe('docker.io/library/web:1\n')
})
