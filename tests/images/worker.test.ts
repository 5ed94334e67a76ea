// The image worker as the core host uses it: a real process, killed, refused and restarted.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ImageWorkerClient, startImageWorker } from '../../core/oci/image-worker-client.ts'
import type { CallOptions } from '../../core/oci/image-worker-process.ts'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { run } from './commands.ts'
import { type MadeImage, makeImage, readLayout, skopeoCopy } from './made-images.ts'
import { startRegistry } from './registry-servers.ts'
import { startScriptedRegistry } from './scripted-registry.ts'

let folder: string
let made: MadeImage
let archive: string
let root: string
let worker: ImageWorkerClient
const logged: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-worker-'))
  await chmod(folder, 0o711)
  made = await makeImage(path.join(folder, 'made'))
  archive = path.join(folder, 'web.tar')
  await skopeoCopy(`oci:${made.layout}:made`, `docker-archive:${archive}:web:1`)
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  worker = await startImageWorker({ root, log: (line) => logged.push(line) })
})

afterEach(() => worker[Symbol.asyncDispose]())

const importWeb = () => worker.importArchive(createReadStream(archive))
const coded = (code: string) => expect.objectContaining({ code })

test('an archive becomes an image with a root image that is a file system', async () => {
  expect(await importWeb()).toEqual({ references: ['docker.io/library/web:1'] })
  const phases = new Set<string>()
  const image = await worker.rootImage('web:1', { onProgress: ({ phase }) => phases.add(phase) })
  expect(image).toMatchObject({
    runConfig: { Cmd: made.command, User: 'web:1000' },
    sizeBytes: (await stat(image.path)).size,
  })
  expect((await lstat(image.path)).mode & 0o777).toBe(0o444)
  expect([...phases]).toContain('write')
  const unpacked = path.join(root, 'unpacked')
  await run('unsquashfs', '-quiet', '-no-progress', '-d', unpacked, image.path)
  expect(await readFile(path.join(unpacked, 'etc/top.conf'), 'utf8')).toBe('one top\n')
  expect(await readFile(path.join(unpacked, 'etc/base.conf'), 'utf8')).toBe('one base\n')
  expect(await readFile(path.join(unpacked, 'data'))).toEqual(
    await readFile(path.join(folder, 'made/top/data')),
  )
  const beside = JSON.parse(await readFile(image.path.replace('.squashfs', '.json'), 'utf8'))
  expect(beside).toMatchObject({ imageDigest: image.digest, runConfig: image.runConfig })
})

test('list() and inspect() say what the control API promises', async () => {
  await importWeb()
  const [entry, ...others] = await worker.list()
  expect(others).toEqual([])
  expect(entry).toMatchObject({ reference: 'docker.io/library/web:1', platform: 'linux/amd64' })
  expect(new Date(entry?.pulledAt ?? 0).getTime()).toBeGreaterThan(Date.now() - 60_000)
  const details = await worker.inspect('web:1')
  expect(details).toMatchObject({
    ...entry,
    os: 'linux',
    architecture: 'amd64',
    run: { command: made.command, entrypoint: [], user: 'web:1000', cwd: '/srv', exposedPorts: ['80/tcp'] },
  })
  expect(details.layers).toHaveLength(2)
  expect(details.sizeBytes).toBeGreaterThan(details.layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
  expect(details.rootImageSizeBytes).toBeUndefined()
  await worker.rootImage('web:1')
  expect((await worker.inspect('web:1')).rootImageSizeBytes).toBeGreaterThan(0)
})

test('a root image is built once, also when many ask at the same time, and found again afterwards', async () => {
  await importWeb()
  const images = await Promise.all(Array.from({ length: 5 }, () => worker.rootImage('web:1')))
  expect(new Set(images.map(({ path: file }) => file)).size).toBe(1)
  const [first] = images
  const before = await stat(first?.path ?? '')
  const phases: string[] = []
  const again = await worker.rootImage(first?.digest ?? '', { onProgress: ({ phase }) => phases.push(phase) })
  expect((await stat(again.path)).ino).toBe(before.ino)
  expect(phases).toEqual([])
})

test('removing an image removes its root image; what guests need stays', async () => {
  await importWeb()
  const image = await worker.rootImage('web:1')
  await expect(worker.remove('web:1', { inUse: [image.digest] })).rejects.toThrow(coded('oci.in-use'))
  await worker.remove('web:1', { inUse: [image.digest], force: true })
  expect(await worker.list()).toEqual([])
  expect(await worker.rootImage(image.digest)).toEqual(image)
  expect(await worker.sweep([])).toBeGreaterThan(image.sizeBytes)
  expect(await readdir(path.join(root, 'images'))).toEqual([])
  await expect(worker.rootImage(image.digest)).rejects.toThrow(coded('oci.not-found'))
})

test('errors arrive with their code, hint and data', async () => {
  await expect(worker.inspect('nothing')).rejects.toThrow(
    expect.objectContaining({
      code: 'oci.not-found',
      message: 'There is no image "nothing:latest" on this host',
      hint: 'Fetch it with "bulkhead pull nothing:latest".',
    }),
  )
})

test('a worker that ends has given what it made its place, and the next one finds it', async () => {
  await importWeb()
  await worker.rootImage('web:1')
  await worker[Symbol.asyncDispose]()
  const segments = await readdir(path.join(root, 'store/layers'))
  expect(segments).toHaveLength(2)
  for (const name of segments) expect(name).toMatch(/^[0-9a-f]{64}\.squashfs-[\w-]+\.seg$/)
  worker = await startImageWorker({ root, log: (line) => logged.push(line) })
  expect(await worker.check({ repair: false, inUse: [] })).toMatchObject({ problems: [] })
})

test('a worker that ends gives up what it is doing at once, and leaves only what can be gone on with', async () => {
  const asked = Promise.withResolvers<void>()
  await using registry = await startScriptedRegistry(made.layout, (request, response) => {
    if (request.url?.includes('/blobs/') !== true) return false
    asked.resolve()
    response.writeHead(200, { 'content-length': 1000 }).write('x')
    return true
  })
  const pulling = worker.pull({ reference: `${registry.host}/web:made` }).catch((error: unknown) => error)
  await asked.promise
  const endsMs = performance.now()
  await worker[Symbol.asyncDispose]()
  // Less than the patience that closing has with the disk, and than that of the core host with the worker.
  expect(performance.now() - endsMs).toBeLessThan(2_500)
  expect(await pulling).toEqual(coded('oci.worker-died'))
  expect(await readdir(path.join(root, 'store/layers'))).toEqual([])
  expect(logged.filter((line) => line.includes('failed'))).toEqual([])
})

describe('pull()', () => {
  test('pulls from a registry and reports at most ten times a second', async () => {
    await using registry = await startRegistry(path.join(root, 'registry'), { auth: 'none' })
    const reference = `${registry.host}/web:1`
    await skopeoCopy(`oci:${made.layout}:made`, `docker://${reference}`, '--dest-tls-verify=false')
    const seen: ImageProgress[] = []
    const start = performance.now()
    expect(await worker.pull({ reference }, { onProgress: (progress) => seen.push(progress) })).toMatchObject(
      { reference, isNew: true },
    )
    const seconds = (performance.now() - start) / 1000
    // The first of each phase and the last come at once.
    expect(seen.length).toBeLessThanOrEqual(seconds * 10 + 3)
    expect(seen.at(-1)?.layers.map(({ state }) => state)).toEqual(['done', 'done'])
    await worker.rootImage(reference)
  })

  test('is cancelled by its signal, in the worker too', async () => {
    const leaving = new AbortController()
    await using registry = await startScriptedRegistry(made.layout, (request, response) => {
      if (request.url?.includes('/blobs/') !== true) return false
      response.on('close', () => closed.resolve())
      response.writeHead(200)
      response.write('x', () => leaving.abort())
      return true
    })
    const closed = Promise.withResolvers<void>()
    const pulled = worker.pull({ reference: `${registry.host}/web:made` }, { signal: leaving.signal })
    await expect(pulled).rejects.toThrow(coded('oci.cancelled'))
    await closed.promise
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })
})

describe('importArchive()', () => {
  test('takes several archives at the same time', async () => {
    const names = ['a:1', 'b:1', 'c:1']
    await Promise.all(
      names.map((name) => worker.importArchive(createReadStream(archive, { highWaterMark: 1000 }), { name })),
    )
    expect((await worker.list()).map(({ reference }) => reference).sort()).toEqual(
      names.map((name) => `docker.io/library/${name}`),
    )
  })

  test('a refused archive is not read to its end, and the next one is none the worse', async () => {
    const endless = new Readable({ read: () => {} })
    endless.push(Buffer.alloc(100_000, 'x'))
    await expect(worker.importArchive(endless, { name: 'NOT A NAME' })).rejects.toThrow(
      coded('oci.bad-reference'),
    )
    expect(endless.destroyed).toBe(true)
    await importWeb()
  })

  test('a stream that breaks off is reported with its own error', async () => {
    const broken = new PassThrough()
    broken.write(Buffer.alloc(10_000))
    const imported = worker.importArchive(broken)
    broken.destroy(new Error('the client hung up'))
    await expect(imported).rejects.toThrow('the client hung up')
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })

  test('is cancelled by its signal while it waits for bytes', async () => {
    const leaving = new AbortController()
    const stalled = new PassThrough()
    stalled.write(Buffer.alloc(10_000))
    const imported = worker.importArchive(stalled, {
      signal: leaving.signal,
      onProgress: () => leaving.abort(),
    })
    await expect(imported).rejects.toThrow(coded('oci.cancelled'))
    expect(stalled.destroyed).toBe(true)
    await importWeb()
  })
})

describe('exportArchive()', () => {
  /** A layer of 8 MB that no compression makes smaller: more than all windows on the way. */
  async function importBig(): Promise<void> {
    const layout = path.join(root, 'big')
    const content = path.join(root, 'content')
    await mkdir(content)
    await writeFile(path.join(content, 'noise'), randomBytes(8_000_000))
    await run('umoci', 'init', '--layout', layout)
    await run('umoci', 'new', '--image', `${layout}:big`)
    await run('tar', '-C', content, '-cf', `${content}.tar`, '.')
    await run('umoci', 'raw', 'add-layer', '--image', `${layout}:big`, `${content}.tar`)
    const file = path.join(root, 'big.tar')
    await skopeoCopy(`oci:${layout}:big`, `oci-archive:${file}:big:1`)
    await worker.importArchive(createReadStream(file))
  }
  const request = { images: ['big:1'], format: 'oci-archive' } as const

  test('gives the bytes in order, waits for each, and says how many there will be', async () => {
    await importBig()
    const chunks: Buffer[] = []
    let isWriting = false
    const seen: ImageProgress[] = []
    const { sizeBytes } = await worker.exportArchive(
      request,
      async (bytes) => {
        expect(isWriting).toBe(false)
        isWriting = true
        await new Promise((resolve) => setImmediate(resolve))
        isWriting = false
        chunks.push(bytes)
      },
      { onProgress: (progress) => seen.push(progress) },
    )
    const archive = Buffer.concat(chunks)
    expect(archive.length).toBe(sizeBytes)
    expect(seen[0]).toMatchObject({ phase: 'send', bytesDone: 0, bytesTotal: sizeBytes })
    expect(seen.at(-1)).toMatchObject({ bytesDone: sizeBytes })
    await worker.remove('big:1')
    expect(await worker.importArchive(Readable.from([archive]))).toEqual({
      references: ['docker.io/library/big:1'],
    })
  })

  test('a reader that stands still holds back nothing but its own archive', async () => {
    await importBig()
    const leaving = new AbortController()
    let receivedBytes = 0
    const stuck = worker.exportArchive(
      request,
      (bytes) => {
        receivedBytes += bytes.length
        return new Promise(() => {})
      },
      { signal: leaving.signal },
    )
    const chunks: Buffer[] = []
    await worker.exportArchive(request, async (bytes) => void chunks.push(bytes))
    expect(Buffer.concat(chunks).length).toBeGreaterThan(8_000_000)
    expect(receivedBytes).toBeLessThan(1_000_000)
    leaving.abort()
    await expect(stuck).rejects.toThrow(coded('oci.cancelled'))
  })

  test('a reader that fails ends it, with its own error', async () => {
    await importBig()
    const failed = worker.exportArchive(request, () => Promise.reject(new Error('the client hung up')))
    await expect(failed).rejects.toThrow('the client hung up')
    await worker.exportArchive(request, async () => undefined)
  })

  test('errors of the store arrive as they are', async () => {
    await importWeb()
    await expect(
      worker.exportArchive({ images: ['nothing:1'], format: 'oci-archive' }, async () => undefined),
    ).rejects.toThrow(coded('oci.not-found'))
  })
})

const pem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
  type: 'spki',
  format: 'pem',
})
/** The calls that ask a registry, and keep nothing of what it says. */
const questions = [
  [
    'tags',
    (host: string, options: CallOptions) => worker.tags({ repository: `${host}/web`, limit: 10 }, options),
  ],
  [
    'checkRegistry',
    (host: string, options: CallOptions) => worker.checkRegistry({ registry: host }, options),
  ],
  [
    'verify',
    (host: string, options: CallOptions) =>
      worker.verify({ image: `${host}/web:made`, keys: [String(pem)], signatures: {} }, options),
  ],
] as const

describe.each(questions)('%s()', (_, ask) => {
  test('is cancelled through to the registry', async () => {
    const leaving = new AbortController()
    const closed = Promise.withResolvers<void>()
    await using registry = await startScriptedRegistry(made.layout, (_request, response) => {
      response.on('close', () => closed.resolve())
      leaving.abort()
      return true
    })
    await expect(ask(registry.host, { signal: leaving.signal })).rejects.toThrow(coded('oci.cancelled'))
    await closed.promise
  })

  test('fails when the worker dies over it, and leaves nothing', async () => {
    const pid = await worker.start()
    await using registry = await startScriptedRegistry(made.layout, () => {
      process.kill(pid ?? 0, 'SIGKILL')
      return true
    })
    await expect(ask(registry.host, {})).rejects.toThrow(coded('oci.worker-died'))
    await importWeb()
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })
})

test('tags() and checkRegistry() say what a real registry has', async () => {
  await using registry = await startRegistry(path.join(root, 'registry'), { auth: 'none' })
  for (const tag of ['one', 'two', 'three'])
    await skopeoCopy(
      `oci:${made.layout}:made`,
      `docker://${registry.host}/team/web:${tag}`,
      '--dest-tls-verify=false',
    )
  const repository = `${registry.host}/team/web`
  const first = await worker.tags({ repository, limit: 2 })
  expect(first).toMatchObject({ repository, hasMore: true })
  const second = await worker.tags({ repository, limit: 2, after: first.tags.at(-1) })
  expect(second.hasMore).toBe(false)
  expect([...first.tags, ...second.tags].toSorted()).toEqual(['one', 'three', 'two'])
  expect(await worker.checkRegistry({ registry: registry.host })).toEqual({
    registry: registry.host,
    login: 'not-wanted',
  })
})

test('root images are made in the format that the host wants', async () => {
  await importWeb()
  const squashfs = await worker.rootImage('web:1')
  await worker[Symbol.asyncDispose]()
  worker = await startImageWorker({ root, rootImageFormat: 'erofs' })
  const erofs = await worker.rootImage('web:1')
  expect([squashfs.format, erofs.format]).toEqual(['squashfs', 'erofs'])
  expect(erofs.path).toMatch(/\.erofs$/)
  expect((await worker.inspect('web:1')).rootImageFormat).toBe('erofs')
  expect((await worker.inspect('web:1')).layers[0]).toMatchObject({ entries: expect.any(Number) })
})

describe('a worker that dies', () => {
  test('fails what is in flight with a clear error, and the next call has a new one', async () => {
    await importWeb()
    const pid = await worker.start()
    const stalled = new PassThrough()
    stalled.write(Buffer.alloc(1000))
    const imported = worker.importArchive(stalled, { onProgress: () => process.kill(pid ?? 0, 'SIGKILL') })
    await expect(imported).rejects.toThrow(
      expect.objectContaining({
        code: 'oci.worker-died',
        message: expect.stringContaining('The image worker was ended by SIGKILL while it worked on this'),
      }),
    )
    expect((await worker.list()).map(({ reference }) => reference)).toEqual(['docker.io/library/web:1'])
    expect(await worker.start()).not.toBe(pid)
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })

  test('leaves nothing of an export', async () => {
    await importWeb()
    const pid = await worker.start()
    const sent = worker.exportArchive({ images: ['web:1'], format: 'docker-archive' }, () => {
      process.kill(pid ?? 0, 'SIGKILL')
      return new Promise(() => {})
    })
    await expect(sent).rejects.toThrow(coded('oci.worker-died'))
    await worker.exportArchive({ images: ['web:1'], format: 'docker-archive' }, async () => undefined)
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })

  test('many calls after its death start one new worker', async () => {
    const pid = await worker.start()
    process.kill(pid ?? 0, 'SIGKILL')
    await Promise.allSettled([worker.list()])
    const pids = await Promise.all([worker.start(), worker.start(), worker.start()])
    expect(new Set(pids).size).toBe(1)
    expect(pids[0]).not.toBe(pid)
  })

  test('ends by itself when its client is closed, and gives the store free', async () => {
    const pid = await worker.start()
    await worker[Symbol.asyncDispose]()
    expect(() => process.kill(pid ?? 0, 0)).toThrow('ESRCH')
    await expect(worker.list()).rejects.toThrow('it has been closed')
    worker = await startImageWorker({ root })
    expect(await worker.list()).toEqual([])
  })
})

test('a store that cannot be opened fails the start with the reason', async () => {
  const other = path.join(root, 'other')
  await mkdir(path.join(other, 'store'), { recursive: true })
  await writeFile(path.join(other, 'store/oci-layout'), '{"imageLayoutVersion":"7.0.0"}')
  await expect(startImageWorker({ root: other })).rejects.toThrow(coded('oci.corrupt-store'))
})

test('a store whose list of images is damaged says so, and is repaired', async () => {
  await importWeb()
  await writeFile(path.join(root, 'store/index.json'), 'x')
  await expect(worker.list()).rejects.toThrow(coded('oci.corrupt-store'))
  await worker[Symbol.asyncDispose]()
  worker = await startImageWorker({ root })
  await expect(worker.sweep([])).rejects.toThrow(coded('oci.corrupt-store'))
  const { problems } = await worker.check({ repair: true, inUse: [] })
  expect(problems).toMatchObject([{ subject: 'index.json', repaired: true }])
  expect(await worker.list()).toMatchObject([{ reference: 'docker.io/library/web:1' }])
})

test('a program that is not there fails the start', async () => {
  await expect(startImageWorker({ root, execPath: '/nowhere/node' })).rejects.toThrow(
    coded('oci.worker-died'),
  )
})

test('a link in the place of a root image is not followed: the image is built again', async () => {
  await importWeb()
  const image = await worker.rootImage('web:1')
  const aside = path.join(root, 'aside')
  await rename(image.path, aside)
  await symlink(aside, image.path)
  expect(await worker.rootImage('web:1')).toEqual(image)
  expect((await lstat(image.path)).isFile()).toBe(true)
})

test('a root image that belongs to somebody else is refused', async () => {
  await importWeb()
  const image = await worker.rootImage('web:1')
  // Only root can give files away, as for the mounts of these tests.
  await chown(image.path, 12_345, 12_345)
  await expect(worker.rootImage('web:1')).rejects.toThrow(
    `Cannot use the root image ${image.path}: it is not the file that the image worker wrote`,
  )
})

test('under a user of its own it owns the store, has no rights, and nobody else can read it', async () => {
  // Only root can give it another user; for everybody else it runs as themselves.
  const isRoot = process.getuid?.() === 0
  const uid = isRoot ? 64_917 : (process.getuid?.() ?? 0)
  const gid = isRoot ? 64_918 : (process.getgid?.() ?? 0)
  const own = path.join(folder, 'own')
  await mkdir(own)
  await chmod(own, 0o711)
  await using client = await startImageWorker({ root: own, uid, gid, log: (line) => logged.push(line) })
  await client.importArchive(createReadStream(archive))
  const image = await client.rootImage('web:1')
  const status = await readFile(`/proc/${await client.start()}/status`, 'utf8')
  expect(status).toMatch(new RegExp(`^Uid:(\\t${uid}){4}$`, 'm'))
  expect(status).toMatch(new RegExp(`^Gid:(\\t${gid}){4}$`, 'm'))
  if (isRoot) expect(status).toMatch(/^Groups:\s*$/m)
  expect(status).toMatch(/^CapPrm:\t0+$/m)
  expect(status).toMatch(/^CapEff:\t0+$/m)
  expect(await stat(image.path)).toMatchObject({ uid, gid })
  expect((await stat(path.join(own, 'store'))).mode & 0o777).toBe(0o700)
  expect((await stat(path.join(own, 'images'))).mode & 0o777).toBe(0o755)
  const { entry } = await readLayout(path.join(own, 'store'))
  expect(image.digest).toBe(entry.digest)
})
