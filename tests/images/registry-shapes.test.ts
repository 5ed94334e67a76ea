// Images and artifacts of unusual shape, as the distribution-spec's conformance suite has them, generated here; and lists
// that a registry gives in pages, honest and hostile.

import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Digest, type DigestAlgorithm, digestHex, digestOf } from '../../core/oci/digest.ts'
import type { ImageProgress } from '../../core/oci/progress.ts'
import { parseReference } from '../../core/oci/reference.ts'
import { listTags } from '../../core/oci/registry/list-tags.ts'
import { type PullOptions, type PullRequest, pullImage } from '../../core/oci/registry/pull-image.ts'
import { openArtifacts } from '../../core/oci/registry/registry-artifacts.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { makeImage } from './made-images.ts'
import { makeCertificates, portOf } from './registry-servers.ts'
import { type Canned, canned, startScriptedRegistry } from './scripted-registry.ts'

const OCI = 'application/vnd.oci.image'
const INDEX = `${OCI}.index.v1+json`
const MANIFEST = `${OCI}.manifest.v1+json`
const EMPTY = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 }
const retryPolicy = { attempts: 3, baseDelayMs: 1, maxDelayMs: 1000 }

let folder: string
let layout: string
let store: ImageStore

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-shapes-'))
  layout = (await makeImage(path.join(folder, 'made'))).layout
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(async () => {
  store = await ImageStore.open(await mkdtemp(path.join(folder, 'root-')))
})
afterEach(() => store[Symbol.asyncDispose]())

const coded = (code: string) => expect.objectContaining({ code })

/** The content of a registry, to be filled by hand: whatever is put in has a descriptor. */
class Content {
  readonly answers = new Map<string, Canned>()
  algorithm: DigestAlgorithm = 'sha256'

  blob(bytes: Buffer, mediaType: string, extra: object = {}) {
    const digest = digestOf(bytes, this.algorithm)
    this.answers.set(`blobs/${digest}`, { body: bytes })
    return { mediaType, digest, size: bytes.length, ...extra }
  }

  document(value: object, mediaType: string, extra: object = {}) {
    const body = Buffer.from(JSON.stringify(value))
    const digest = digestOf(body, this.algorithm)
    const headers = { 'content-type': mediaType, 'docker-content-digest': digest }
    this.answers.set(`manifests/${digest}`, { headers, body })
    return { mediaType, digest, size: body.length, ...extra }
  }

  tag(name: string, { digest }: { digest: Digest }) {
    this.answers.set(`manifests/${name}`, this.answers.get(`manifests/${digest}`) ?? {})
  }

  serve() {
    const script = canned((url) => this.answers.get(url.replace('/v2/shapes/', '')))
    return startScriptedRegistry(layout, script)
  }

  layer(text: string, extra: object = {}, mediaType = `${OCI}.layer.v1.tar+gzip`) {
    const tar = Buffer.concat([tarOf('file', text), Buffer.alloc(1024)])
    return { diffId: digestOf(tar), descriptor: this.blob(gzipSync(tar), mediaType, extra) }
  }

  /** An image of these layers; `fields` go into its manifest. */
  image(layers: { diffId: Digest; descriptor: object }[], fields: object = {}, config: object = {}) {
    const body = {
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['/file'] },
      rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
      'org.example.custom': { a: [1] },
      ...config,
    }
    return this.document(
      {
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: this.blob(Buffer.from(JSON.stringify(body)), `${OCI}.config.v1+json`),
        layers: layers.map(({ descriptor }) => descriptor),
        ...fields,
      },
      MANIFEST,
    )
  }
}

const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0')

/** One member of a ustar archive (POSIX pax "ustar Interchange Format"). */
function tarOf(name: string, text: string): Buffer {
  const header = Buffer.alloc(512)
  header.write(name, 0)
  header.write('0000644\x000000000\x000000000\0', 100)
  header.write(`${octal(text.length, 11)}\0${octal(0, 11)}\0        0`, 124)
  header.write('ustar\u000000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${octal(sum, 6)}\0 `, 148)
  const body = Buffer.alloc(Math.ceil(text.length / 512) * 512)
  body.write(text)
  return Buffer.concat([header, body])
}

const platform = (architecture: string, variant?: string) => ({
  platform: { os: 'linux', architecture, variant },
})

async function pullTag(content: Content, request: Partial<PullRequest> = {}, options: PullOptions = {}) {
  await using registry = await content.serve()
  const reference = `${registry.host}/shapes:it`
  const wanted = { os: 'linux', architecture: 'amd64' }
  return await pullImage({ reference, platform: wanted, ...request }, store, { retryPolicy, ...options })
}

describe('images', () => {
  test.each<[string, (content: Content) => { digest: Digest }]>([
    [
      'sha512 throughout',
      (content) => {
        content.algorithm = 'sha512'
        return content.image([content.layer('a')])
      },
    ],
    [
      'custom fields everywhere',
      (content) =>
        content.image([content.layer('a', { 'org.example.x': 1, annotations: { k: 'v' } })], {
          'org.example.y': { z: [null] },
          annotations: { k: 'v' },
        }),
    ],
    [
      'a subject that there is not',
      (content) =>
        content.image([content.layer('a')], {
          subject: { mediaType: MANIFEST, digest: digestOf(Buffer.from('none')), size: 7 },
        }),
    ],
    [
      'one layer twice',
      (content) => {
        const layer = content.layer('a')
        return content.image([layer, layer])
      },
    ],
    [
      'an artifact type on an image',
      (content) => content.image([content.layer('a')], { artifactType: 'application/vnd.example' }),
    ],
    [
      'a non-distributable layer that the registry has',
      (content) =>
        content.image([
          content.layer(
            'a',
            { urls: ['https://elsewhere.example/a'] },
            `${OCI}.layer.nondistributable.v1.tar+gzip`,
          ),
        ]),
    ],
    [
      'a nested index',
      (content) => {
        const image = content.image([content.layer('a')])
        const inner = content.document(
          { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...image, ...platform('amd64') }] },
          INDEX,
        )
        const other = content.document(
          { schemaVersion: 2, mediaType: INDEX, manifests: [{ ...image, ...platform('s390x') }] },
          INDEX,
        )
        return content.document({ schemaVersion: 2, mediaType: INDEX, manifests: [other, inner] }, INDEX)
      },
    ],
    [
      'an index with attestations first',
      (content) => {
        const image = content.image([content.layer('a')])
        const attestation = {
          ...image,
          platform: { os: 'unknown', architecture: 'unknown' },
          annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
        }
        return content.document(
          { schemaVersion: 2, manifests: [attestation, { ...image, ...platform('amd64') }, attestation] },
          INDEX,
        )
      },
    ],
    [
      'one manifest beside attestations, without a platform',
      (content) => {
        const image = content.image([content.layer('a')])
        const attestation = { ...image, platform: { os: 'unknown', architecture: 'unknown' } }
        return content.document({ schemaVersion: 2, manifests: [image, attestation] }, INDEX)
      },
    ],
  ])('with %s', async (_, make) => {
    const content = new Content()
    content.tag('it', make(content))
    const { reference } = await pullTag(content)
    const { manifest, config } = await store.openImage(reference)
    expect(config.run.Cmd).toEqual(['/file'])
    for (const layer of manifest.layers) expect(await store.blobs.has(layer)).toBe(true)
  })

  test('whose config and layer are embedded in their descriptors: nothing is fetched for them', async () => {
    const content = new Content()
    const bytes = gzipSync(Buffer.concat([tarOf('file', 'a'), Buffer.alloc(1024)]))
    const layer = content.layer('a', { data: bytes.toString('base64') })
    content.tag('it', content.image([layer]))
    content.answers.delete(`blobs/${layer.descriptor.digest}`)
    expect(await pullTag(content)).toMatchObject({ isNew: true })

    const lying = new Content()
    lying.tag(
      'it',
      lying.image([lying.layer('b', { data: Buffer.alloc(bytes.length, 1).toString('base64') })]),
    )
    await expect(pullTag(lying)).rejects.toThrow(/its content hashes to|its descriptor carries/)
  })

  test('that lie elsewhere are not fetched from there, nor without encryption where that is allowed', async () => {
    await using elsewhere = await startScriptedRegistry(layout, () => false)
    const content = new Content()
    const layer = content.layer(
      'a',
      { urls: [`http://${elsewhere.host}/a`] },
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    )
    content.tag('it', content.image([layer]))
    content.answers.delete(`blobs/${layer.descriptor.digest}`)
    await expect(pullTag(content)).rejects.toThrow(
      `it is not in the registry but at ${elsewhere.host}, and fetching layers from elsewhere is not allowed`,
    )
    await expect(pullTag(content, { foreignLayers: true })).rejects.toThrow(coded('oci.not-found'))
    expect(elsewhere.log).toEqual([])
  })

  test('that lie elsewhere come from there over HTTPS where that is allowed, without credentials', async () => {
    const certificates = await makeCertificates(path.join(folder, 'certificates'))
    const content = new Content()
    const asked: (string | undefined)[] = []
    const files = { cert: await readFile(certificates.certificate), key: await readFile(certificates.key) }
    let bytes: string | Buffer = ''
    const elsewhere = createServer(files, (request, response) => {
      asked.push(request.headers.authorization)
      response.end(bytes)
    })
    elsewhere.listen(0, '127.0.0.1')
    await once(elsewhere, 'listening')
    try {
      const urls = ['http://127.0.0.1:9/', `https://127.0.0.1:${portOf(elsewhere.address())}/layer`]
      const layer = content.layer('a', { urls }, `${OCI}.layer.nondistributable.v1.tar+gzip`)
      content.tag('it', content.image([layer]))
      const key = `blobs/${layer.descriptor.digest}`
      bytes = content.answers.get(key)?.body ?? ''
      content.answers.delete(key)
      const access = { foreignLayers: true, certificateAuthority: certificates.authority }
      const credentials = { username: 'a', password: 'b' }
      expect(await pullTag(content, { ...access, credentials })).toMatchObject({ isNew: true })
      expect(asked).toEqual([undefined])
    } finally {
      elsewhere.closeAllConnections()
      elsewhere.close()
    }
  })

  test.each<[string, (content: Content) => { digest: Digest }, string, string]>([
    [
      'an artifact',
      (content) =>
        content.document(
          {
            schemaVersion: 2,
            mediaType: MANIFEST,
            artifactType: 'application/vnd.example',
            config: EMPTY,
            layers: [EMPTY],
          },
          MANIFEST,
        ),
      'oci.unsupported-media',
      'it is not an image but',
    ],
    ['no layers', (content) => content.image([]), 'oci.corrupt-image', 'nothing to run'],
    [
      'Docker schema 1',
      (content) =>
        content.document(
          { schemaVersion: 1, name: 'x', fsLayers: [] },
          'application/vnd.docker.distribution.manifest.v1+prettyjws',
        ),
      'oci.unsupported-media',
      'schema 1',
    ],
    [
      'indexes without end',
      (content) => {
        let nested: { digest: Digest } = content.image([content.layer('a')])
        for (let depth = 0; depth < 6; depth++)
          nested = content.document({ schemaVersion: 2, manifests: [{ mediaType: INDEX, ...nested }] }, INDEX)
        return nested
      },
      'oci.limit',
      'nested deeper than 3',
    ],
    [
      'platforms of others',
      (content) => {
        const image = content.image([content.layer('a')])
        const inner = content.document(
          { schemaVersion: 2, manifests: [{ ...image, ...platform('arm', 'v7') }] },
          INDEX,
        )
        return content.document(
          { schemaVersion: 2, manifests: [{ ...image, ...platform('s390x') }, inner] },
          INDEX,
        )
      },
      'oci.no-platform',
      'on linux/amd64: it is there for linux/arm/v7, linux/s390x',
    ],
  ])('that are not: %s', async (_, make, code, reason) => {
    const content = new Content()
    content.tag('it', make(content))
    await expect(pullTag(content)).rejects.toThrow(coded(code))
    await expect(pullTag(content)).rejects.toThrow(reason)
  })

  test.each([
    [
      'a wrong digest in HEAD and GET',
      { 'docker-content-digest': digestOf(Buffer.from('x')) },
      /There is no image|hashes to/,
    ],
    ['another type than they say', { 'content-type': INDEX }, /calls itself/],
  ])('delivered with %s are refused', async (_, headers, reason) => {
    const content = new Content()
    const image = content.image([content.layer('a')])
    const right = content.answers.get(`manifests/${image.digest}`)
    content.answers.set('manifests/it', { ...right, headers: { ...right?.headers, ...headers } })
    content.answers.set(`manifests/${image.digest}`, { ...right, headers: { ...right?.headers, ...headers } })
    await expect(pullTag(content)).rejects.toThrow(reason)
  })

  test('delivered without a digest, or with one that is none, are known by their bytes', async () => {
    for (const announced of [{}, { 'docker-content-digest': 'md5:abc' }]) {
      const content = new Content()
      const image = content.image([content.layer(JSON.stringify(announced))])
      const { body = '' } = content.answers.get(`manifests/${image.digest}`) ?? {}
      content.answers.set('manifests/it', { body, headers: { 'content-type': MANIFEST, ...announced } })
      expect(await pullTag(content)).toMatchObject({ digest: image.digest })
    }
  })
})

describe('the limit of pulls', () => {
  const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }

  test('is told with the progress', async () => {
    const content = new Content()
    const image = content.image([content.layer('a')])
    const right = content.answers.get(`manifests/${image.digest}`)
    content.answers.set('manifests/it', { ...right, headers: { ...right?.headers, ...headers } })
    const seen: ImageProgress[] = []
    await pullTag(content, {}, { onProgress: (progress) => seen.push(progress) })
    expect(seen.at(-1)?.rateLimit).toEqual({ limit: 100, remaining: 76, windowSeconds: 21600 })
  })

  test('is in the error when it is reached, with the time to come back', async () => {
    const content = new Content()
    const retryAt = new Date(Date.now() + 7_200_000)
    content.answers.set('manifests/it', {
      status: 429,
      headers: { ...headers, 'ratelimit-remaining': '0;w=21600', 'retry-after': retryAt.toUTCString() },
    })
    const error = await pullTag(content).catch((reason: unknown) => reason)
    expect(error).toMatchObject({
      code: 'oci.rate-limited',
      data: { limit: 100, remaining: 0, windowSeconds: 21600 },
    })
    expect(error).toHaveProperty('data.retryAt', expect.stringMatching(/^20\d\d-.*Z$/))
  })
})

describe('the policy', () => {
  test('sees the image before any layer is fetched or anything stored, and can stop it', async () => {
    const content = new Content()
    const image = content.image([content.layer('a')])
    const index = content.document(
      { schemaVersion: 2, manifests: [{ ...image, ...platform('amd64') }] },
      INDEX,
    )
    content.tag('it', index)
    await using registry = await content.serve()
    const request = {
      reference: `${registry.host}/shapes:it`,
      platform: { os: 'linux', architecture: 'amd64' },
    }
    const refused = pullImage(request, store, {
      retryPolicy,
      policy: async ({ digest, indexDigest }, artifacts) => {
        expect([digest, indexDigest]).toEqual([image.digest, index.digest])
        expect((await artifacts.manifest(digest))?.mediaType).toBe(MANIFEST)
        throw new Error('not signed')
      },
    })
    await expect(refused).rejects.toThrow('not signed')
    expect(registry.log.filter((line) => line.includes('/blobs/'))).toEqual([])
    expect(await Array.fromAsync(store.blobs.list())).toEqual([])

    // The same image, there already: it is looked at all the same.
    await pullImage(request, store, { retryPolicy })
    const seen: unknown[] = []
    const policy: PullOptions['policy'] = async ({ digest, indexDigest }) => {
      seen.push([digest, indexDigest])
    }
    expect(await pullImage(request, store, { retryPolicy, policy })).toMatchObject({ isNew: false })
    expect(seen).toEqual([[image.digest, index.digest]])
  })
})

describe('referrers', () => {
  const subject = digestOf(Buffer.from('subject'))
  const entry = (text: string, artifactType: string) => ({
    mediaType: MANIFEST,
    digest: digestOf(Buffer.from(text)),
    size: 1,
    artifactType,
  })
  const [first, second, third] = [entry('1', 'sig'), entry('2', 'sbom'), entry('3', 'sig')] as const
  const indexOf = (...manifests: object[]) =>
    JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests })
  const api = `referrers/${subject}`
  const headers = { 'content-type': INDEX }

  async function read(content: Content, artifactType?: string) {
    await using registry = await content.serve()
    await using artifacts = await openArtifacts(
      parseReference(`${registry.host}/shapes`),
      {},
      { retryPolicy },
    )
    expect(artifacts.name).toBe(`${registry.host}/shapes`)
    return (await artifacts.referrers(subject, artifactType)).map(({ digest }) => digest)
  }

  test('come from the API, from all its pages, filtered whether or not the registry does it', async () => {
    const content = new Content()
    const next = `</v2/shapes/${api}?artifactType=sig&page=2>; rel="next"`
    content.answers.set(`${api}?artifactType=sig`, {
      headers: { ...headers, link: next },
      body: indexOf(first, second),
    })
    content.answers.set(`${api}?artifactType=sig&page=2`, { headers, body: indexOf(third) })
    expect(await read(content, 'sig')).toEqual([first.digest, third.digest])
  })

  test.each([404, 405, 400])('come from the fallback tag where the API answers %i', async (status) => {
    const content = new Content()
    content.answers.set(api, { status })
    content.answers.set(`manifests/sha256-${digestHex(subject)}`, { headers, body: indexOf(first, second) })
    expect(await read(content)).toEqual([first.digest, second.digest])
  })

  test('are none where there is neither', async () => {
    expect(await read(new Content())).toEqual([])
  })

  test('that are no index, or too many, are refused', async () => {
    const content = new Content()
    content.answers.set(api, {
      headers,
      body: JSON.stringify({ schemaVersion: 2, config: EMPTY, layers: [] }),
    })
    await expect(read(content)).rejects.toThrow(coded('oci.corrupt-image'))
    content.answers.set(api, { headers, body: indexOf(...Array(1001).fill(first)) })
    await expect(read(content)).rejects.toThrow(coded('oci.corrupt-image'))
  })

  test('blobs and manifests of artifacts are verified and limited', async () => {
    const content = new Content()
    const blob = content.blob(Buffer.from('signature'), 'text/plain')
    await using registry = await content.serve()
    await using artifacts = await openArtifacts(
      parseReference(`${registry.host}/shapes`),
      {},
      { retryPolicy },
    )
    expect((await artifacts.blob(blob, 100)).toString()).toBe('signature')
    await expect(artifacts.blob(blob, 5)).rejects.toThrow(coded('oci.limit'))
    content.answers.set(`blobs/${blob.digest}`, { body: 'Signature' })
    await expect(artifacts.blob(blob, 100)).rejects.toThrow(coded('oci.digest-mismatch'))
    content.answers.set(`blobs/${blob.digest}`, { body: 'signature, and more' })
    await expect(artifacts.blob(blob, 100)).rejects.toThrow(coded('oci.limit'))
    expect(await artifacts.manifest('none')).toBeUndefined()
  })
})

describe('lists of tags', () => {
  const page = (tags: unknown, link?: string): Canned => ({
    body: JSON.stringify({ name: 'shapes', tags }),
    headers: link === undefined ? {} : { link },
  })

  async function list(answers: Record<string, Canned>, query: { after?: string; limit?: number } = {}) {
    const content = new Content()
    for (const [key, answer] of Object.entries(answers)) content.answers.set(`tags/list?${key}`, answer)
    await using registry = await content.serve()
    const { tags, hasMore } = await listTags(
      { repository: `${registry.host}/shapes`, limit: 2, ...query },
      { retryPolicy },
    )
    return [tags, hasMore]
  }

  test('follow links, absolute and relative, with any parameters', async () => {
    expect(
      await list(
        {
          'n=3': page(['a'], '</v2/shapes/tags/list?n=3&token=1,2>; title="x, \\"y\\""; rel="prev next"'),
          'n=3&token=1,2': page(['b'], '<list?n=3&last=b>;rel=next'),
          'n=3&last=b': page(['c', 'd']),
        },
        { limit: 3 },
      ),
    ).toEqual([['a', 'b', 'c'], true])
  })

  test('that ignore where to begin or how many are cut to what was asked for', async () => {
    const everything = page(['a', 'b', 'c', 'd'])
    expect(await list({ 'n=2': everything })).toEqual([['a', 'b'], true])
    expect(await list({ 'n=2&last=b': everything }, { after: 'b' })).toEqual([['c', 'd'], false])
  })

  test('may be empty or null; what is no tag is left out', async () => {
    expect(await list({ 'n=2': page(null) })).toEqual([[], false])
    expect(await list({ 'n=2': page([]) })).toEqual([[], false])
    expect(await list({ 'n=2': page(['ok', '../x', '\u001b[31m', '']) })).toEqual([['ok'], false])
  })

  test.each([
    'http://127.0.0.2:1/v2/shapes/tags/list',
    '//other.example/v2/shapes/tags/list',
    'file:///etc/passwd',
    '/v2/other/tags/list',
    '/v2/shapes/../other/tags/list',
    '/v2/_catalog',
    'http://user:password@$HOST/v2/shapes/tags/list?x',
  ])('that lead to %s are refused', async (target) => {
    await expect(list({ 'n=2': page(['a'], `<${target}>; rel="next"`) })).rejects.toThrow(
      'which is not in that repository of',
    )
  })

  test('that go in circles, or do not end, are refused', async () => {
    await expect(list({ 'n=2': page([], '<list?n=2>; rel="next"') })).rejects.toThrow('go in circles')
    let count = 0
    const endless = canned(() => {
      count += 1
      return page([], `<list?page=${count}>; rel="next"`)
    })
    await using registry = await startScriptedRegistry(layout, endless)
    await expect(
      listTags({ repository: `${registry.host}/shapes`, limit: 2 }, { retryPolicy }),
    ).rejects.toThrow('more than 200 pages')
  })

  test('that are no list are refused', async () => {
    await expect(list({ 'n=2': { body: '<html>' } })).rejects.toThrow(coded('oci.corrupt-image'))
    await expect(list({ 'n=2': page('abc') })).rejects.toThrow(coded('oci.corrupt-image'))
  })
})
