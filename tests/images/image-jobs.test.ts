// Jobs on images as the core host runs them: shared, left, cancelled, with the host's settings, and told to clients. The
// image worker and the registries are real ones.

import { createReadStream } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { CoreEvent, Job } from '../../core/api/methods.ts'
import { pullImage } from '../../core/api/schemas/images.ts'
import { HostRegistries } from '../../core/host/registries/host-registries.ts'
import { type ImageWorkerClient, startImageWorker } from '../../core/oci/image-worker-client.ts'
import type { StreamSession } from '../../core/runtime/broker/stream-session.ts'
import { EventHub } from '../../core/runtime/event-hub.ts'
import { Images } from '../../core/runtime/images.ts'
import { Jobs } from '../../core/runtime/jobs.ts'
import { hexOf, type MadeImage, makeImage, readLayout, skopeoCopy } from './made-images.ts'
import { makeSigningKey, type SigningKey, signSimply, simplePayload } from './made-signatures.ts'
import { digestOf, makeArtifact, signatureTag, simpleLayers } from './pushed-artifacts.ts'
import { type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts'

let folder: string
let made: MadeImage
let archive: string
let root: string
let worker: ImageWorkerClient
let jobs: Jobs
let images: Images
let seen: CoreEvent[]
let events: EventHub
/** Digests of the images of guests. */
let inUse: string[]

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-jobs-'))
  made = await makeImage(path.join(folder, 'made'))
  archive = path.join(folder, 'web.tar')
  await skopeoCopy(`oci:${made.layout}:made`, `oci-archive:${archive}:web:1`)
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  worker = await startImageWorker({ root })
  events = new EventHub()
  seen = []
  inUse = []
  events.subscribe(({ event }) => seen.push(event))
  jobs = new Jobs(events, Date.now)
  images = new Images({
    worker,
    jobs,
    events,
    registries: new HostRegistries({
      settingsFile: path.join(root, 'registries.json'),
      certificateFolders: [path.join(root, 'certs.d')],
      proxy: {},
    }),
    usersOf: (digest) => (inUse.includes(digest) ? ['guest'] : []),
    inUse: () => inUse,
  })
})

afterEach(async () => {
  await jobs.close()
  await worker[Symbol.asyncDispose]()
})

/** The job when it is over, or when `isReached` says so of it. */
function reached(id: string, isReached = (job: Job) => job.state !== 'running'): Promise<Job> {
  const { promise, resolve } = Promise.withResolvers<Job>()
  const stop = events.subscribe(({ event }) => {
    if (event.type === 'job' && event.job.id === id && isReached(event.job)) resolve(event.job)
  })
  if (isReached(jobs.get(id))) resolve(jobs.get(id))
  return promise.finally(stop)
}
const request = (reference: string, more: object = {}) => pullImage.parse({ reference, ...more })
const settings = (document: unknown) =>
  writeFile(path.join(root, 'registries.json'), JSON.stringify(document), { mode: 0o644 })
const coded = (code: string) => expect.objectContaining({ code })

/** A registry whose layers stand still until `go`. */
async function slowRegistry(): Promise<ScriptedRegistry & { go: () => void; asked: Promise<void> }> {
  const asked = Promise.withResolvers<void>()
  const open = Promise.withResolvers<void>()
  const { manifest, blobs } = await readLayout(made.layout)
  const registry = await startScriptedRegistry(made.layout, (incoming, response) => {
    const layer = manifest.layers.find(({ digest }) => incoming.url?.endsWith(`/blobs/${digest}`))
    if (layer === undefined) return false
    asked.resolve()
    void open.promise.then(async () => response.end(await readFile(path.join(blobs, hexOf(layer)))))
    return true
  })
  return Object.assign(registry, { go: open.resolve, asked: asked.promise })
}

describe('a pull', () => {
  test('is one job for all who ask for the same, and goes on until the last has left', async () => {
    await using registry = await slowRegistry()
    const reference = `${registry.host}/web:made`
    const leaving = {}
    const { id } = images.pull(request(reference), leaving)
    expect(images.pull(request(reference), {}).id).toBe(id)
    const other = images.pull(request(reference, { credentials: { username: 'a', password: 'b' } }))
    expect(other.id).not.toBe(id)
    await registry.asked
    expect(jobs.leave(id, leaving)).toBe(false)
    registry.go()
    const job = await reached(id)
    expect((await reached(other.id)).state).toBe('done')
    expect(job).toMatchObject({ state: 'done', references: [reference], kind: 'pull' })
    // Different requests share the downloads.
    const { manifest } = await readLayout(made.layout)
    for (const { digest } of manifest.layers)
      expect(registry.log.filter((line) => line.endsWith(digest))).toHaveLength(1)
  })

  test('ends when all have left, and the next one begins anew', async () => {
    await using registry = await slowRegistry()
    const reference = `${registry.host}/web:made`
    const [first, second] = [{}, {}]
    const { id } = images.pull(request(reference), first)
    images.pull(request(reference), second)
    await registry.asked
    expect(jobs.leave(id, first)).toBe(false)
    expect(jobs.leave(id, second)).toBe(true)
    const again = images.pull(request(reference))
    expect(again.id).not.toBe(id)
    expect((await reached(id)).state).toBe('cancelled')
    registry.go()
    expect((await reached(again.id)).state).toBe('done')
  })

  test('tells what it does, from the download to the root image, and what became of the images', async () => {
    await using registry = await startScriptedRegistry(made.layout, () => false)
    const reference = `${registry.host}/web:made`
    const start = performance.now()
    const { id } = images.pull(request(reference))
    await reached(id)
    const intervals = (performance.now() - start) / 100
    const told = seen.flatMap((event) => (event.type === 'job' ? [event.job] : []))
    // The first, the last, and at most one in each tenth of a second.
    expect(told.length).toBeLessThanOrEqual(intervals + 3)
    expect(told.at(-1)?.progress.bytesDone).toBe(told.at(-1)?.progress.bytesTotal)
    expect(seen.filter(({ type }) => type !== 'job')).toMatchObject([
      { type: 'image', image: { reference, platform: 'linux/amd64' } },
    ])
    expect((await images.inspect(reference)).rootImageSizeBytes).toBeGreaterThan(0)
    expect((await images.inspect(reference)).layers[0]).toMatchObject({ entries: expect.any(Number) })
  })

  test('asks mirrors first, as the settings have them', async () => {
    await using mirror = await startScriptedRegistry(made.layout, () => false)
    await settings({
      registries: { 'registry.invalid': { mirrors: [{ host: mirror.host, prefix: 'copies' }] } },
    })
    const { id } = images.pull(request('registry.invalid/team/web:made'))
    expect(await reached(id)).toMatchObject({ references: ['registry.invalid/team/web:made'] })
    expect(mirror.log.every((line) => line.includes('/v2/copies/team/web/') || line.endsWith('/v2/'))).toBe(
      true,
    )
  })

  test.each([
    [{ registries: { 'docker.io': { mirors: [] } } }, 'host.bad-settings'],
    [{ signatures: { '*': 'reject' } }, 'oci.not-allowed'],
  ])('is stopped by settings %j before anything is asked', async (document, code) => {
    await using registry = await startScriptedRegistry(made.layout, () => false)
    await settings(document)
    const { id } = images.pull(request(`${registry.host}/web:made`))
    expect(await reached(id)).toMatchObject({ state: 'failed', error: { code } })
    expect(registry.log).toEqual([])
    expect(await images.list()).toEqual([])
  })

  test('of an image without the signature that is due fetches no layer', async () => {
    await using registry = await startScriptedRegistry(made.layout, ({ url }, response) => {
      if (url?.includes('/manifests/sha256-') !== true) return false
      response.writeHead(404).end()
      return true
    })
    const example = await readFile(new URL('../../docs/registries.example.json', import.meta.url), 'utf8')
    const rule = JSON.parse(example).signatures['registry.intranet.example:5000']
    await settings({ signatures: { [registry.host]: rule } })
    const reference = `${registry.host}/web:made`
    const { id } = images.pull(request(reference))
    expect(await reached(id)).toMatchObject({ state: 'failed', error: { code: 'oci.not-signed' } })
    expect(registry.log.filter((line) => line.includes('/blobs/'))).toEqual([])
    expect(await images.list()).toEqual([])
    await expect(
      images.verify({ image: reference, plainHttp: false, trustedRealms: [] }, AbortSignal.timeout(20_000)),
    ).rejects.toThrow(coded('oci.not-signed'))
  })
})

describe('verify', () => {
  /** A registry whose image is signed with `key`, under the tag that cosign takes. */
  async function signedRegistry(key: SigningKey): Promise<ScriptedRegistry> {
    const { entry } = await readLayout(made.layout)
    const payload = simplePayload('registry.example/team/web', entry.digest)
    const signature = makeArtifact(simpleLayers([await signSimply(key, payload)]))
    const contents = new Map<string, Buffer>([
      [`/v2/team/web/manifests/${signatureTag(entry.digest)}`, signature.manifest],
      ...signature.blobs.map((bytes) => [`/v2/team/web/blobs/${digestOf(bytes)}`, bytes] as const),
    ])
    return startScriptedRegistry(made.layout, ({ url = '' }, response) => {
      const bytes = contents.get(url)
      const isImage = url.endsWith('/made') || url.endsWith(entry.digest)
      if (bytes === undefined && (isImage || !url.includes('/manifests/'))) return false
      response.writeHead(bytes === undefined ? 404 : 200, {
        'content-type': 'application/vnd.oci.image.manifest.v1+json',
      })
      response.end(bytes)
      return true
    })
  }

  test('of an image that is here or only there, with given keys or those of the settings', async () => {
    const key = await makeSigningKey(folder)
    await using registry = await signedRegistry(key)
    const { entry } = await readLayout(made.layout)
    const reference = `${registry.host}/team/web:made`
    const verify = (keys?: string[], image = reference) =>
      images.verify(
        { image, plainHttp: false, trustedRealms: [], ...(keys === undefined ? {} : { keys }) },
        AbortSignal.timeout(20_000),
      )
    await expect(verify()).rejects.toThrow(coded('oci.bad-key'))
    // The signature names another registry: as good as none where the settings do not say otherwise.
    await expect(verify([key.publicKey])).rejects.toThrow(coded('oci.bad-signature'))
    await settings({ signatures: { [registry.host]: { keys: [key.publicKey], identity: 'any' } } })
    const verified = {
      reference,
      digest: entry.digest,
      signatures: [{ format: 'simple-signing', signedReference: 'registry.example/team/web' }],
    }
    expect(await verify()).toMatchObject(verified)
    expect(await verify([key.publicKey])).toMatchObject(verified)
    await expect(verify([(await makeSigningKey(folder)).publicKey])).rejects.toThrow(
      coded('oci.bad-signature'),
    )
    expect(await reached(images.pull(request(reference)).id)).toMatchObject({ state: 'done' })
    expect(await verify(undefined, entry.digest.slice('sha256:'.length, 24))).toMatchObject(verified)
  })
})

/** Feeds a session's input with the archive. */
async function send(session: StreamSession): Promise<void> {
  for await (const chunk of createReadStream(archive, { highWaterMark: 1000 }))
    await session.input?.write(chunk)
  session.input?.end()
}

async function receive(session: StreamSession): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const event of session.outputs[0] ?? []) if (event.kind === 'data') chunks.push(event.bytes)
  return Buffer.concat(chunks)
}

describe('archives', () => {
  test('come in and go out as jobs, and every change of names is told', async () => {
    const { job, session } = images.import({ sizeBytes: 10 })
    await send(session)
    expect(await reached(job.id)).toMatchObject({ state: 'done', references: ['docker.io/library/web:1'] })
    await images.tag('web:1', 'web:2')
    const saved = images.export({ images: ['web:1', 'web:2'], format: 'docker-archive' })
    const bytes = await receive(saved.session)
    expect(await reached(saved.job.id)).toMatchObject({
      kind: 'export',
      state: 'done',
      references: [],
      progress: { phase: 'send', bytesDone: bytes.length, bytesTotal: bytes.length },
    })
    await images.remove('web:1', false)
    await images.remove('web:2', false)
    expect(seen.filter(({ type }) => type !== 'job')).toMatchObject([
      { type: 'image', image: { reference: 'docker.io/library/web:1' } },
      { type: 'image', image: { reference: 'docker.io/library/web:2' } },
      { type: 'image-removed', reference: 'docker.io/library/web:1' },
      { type: 'image-removed', reference: 'docker.io/library/web:2' },
    ])
  })

  test('that are given up leave nothing', async () => {
    const { job, session } = images.import({})
    await session.input?.write(Buffer.alloc(100_000))
    session.close()
    expect((await reached(job.id)).state).toBe('cancelled')
    expect(await readdir(path.join(root, 'store/ingest'))).toEqual([])
  })

  test('a cancelled export tells the one who reads it', async () => {
    const { job, session } = images.import({})
    await send(session)
    await reached(job.id)
    const saved = images.export({ images: ['web:1'], format: 'oci-archive' })
    jobs.cancel(saved.job.id)
    await expect(receive(saved.session)).rejects.toThrow(coded('oci.cancelled'))
    expect((await reached(saved.job.id)).state).toBe('cancelled')
  })
})

describe('upkeep', () => {
  const importWeb = async () => {
    const { job, session } = images.import({})
    await send(session)
    await reached(job.id)
    const { digest } = await images.inspect('web:1')
    seen.length = 0
    return digest
  }
  const told = () => seen.filter(({ type }) => type !== 'job')
  const everything = { all: true, derived: true, dryRun: false }

  test('prunes what no guest was made of, and tells what is gone; a dry run tells nothing', async () => {
    const digest = await importWeb()
    const gone = {
      images: [{ reference: 'docker.io/library/web:1', digest }],
      freedBytes: expect.any(Number),
    }
    const preview = await images.prune({ ...everything, dryRun: true })
    expect(preview).toEqual(gone)
    expect(told()).toEqual([])
    inUse = [digest]
    expect((await images.prune({ ...everything, derived: false })).images).toEqual([])
    expect(await images.list()).toMatchObject([{ usedBy: ['guest'] }])
    inUse = []
    expect(await images.prune(everything)).toEqual(preview)
    expect(told()).toEqual([{ type: 'image-removed', reference: 'docker.io/library/web:1' }])
    expect(await readdir(path.join(root, 'images'))).toEqual([])
  })

  test('repairs a damaged store, and the next pull brings the image back', async () => {
    await using registry = await startScriptedRegistry(made.layout, () => false)
    const reference = `${registry.host}/web:made`
    await reached(images.pull(request(reference)).id)
    const [layer] = (await images.inspect(reference)).layers
    const blob = path.join(root, 'store/blobs/sha256', layer?.digest.slice('sha256:'.length) ?? '')
    const bytes = await readFile(blob)
    bytes[10] = (bytes[10] ?? 0) ^ 1
    await rm(blob)
    await writeFile(blob, bytes)
    const found = await images.check(false, AbortSignal.timeout(20_000))
    expect(found.problems).toMatchObject([{ subject: layer?.digest }, { subject: reference }])
    expect(found.problems.every(({ repaired }) => !repaired)).toBe(true)
    expect((await images.check(true, AbortSignal.timeout(20_000))).problems[0]?.repaired).toBe(true)
    expect(await reached(images.pull(request(reference)).id)).toMatchObject({ state: 'done' })
    expect((await images.check(false, AbortSignal.timeout(20_000))).problems).toEqual([])
  })
})
