// Policies on what is pulled: a pull that one stops has fetched no layer and stored nothing.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { pullImage } from '../../core/oci/registry/pull-image.ts'
import {
  requirePolicy,
  type SignaturePolicies,
  signaturePoliciesSchema,
} from '../../core/oci/signatures/policy.ts'
import { ImageStore } from '../../core/oci/store/image-store.ts'
import { type MadeImage, makeImage, readLayout } from './made-images.ts'
import {
  makeEnvelopeBundle,
  makeSigningKey,
  type SigningKey,
  signedStatement,
  signSimply,
  simplePayload,
} from './made-signatures.ts'
import {
  type Artifact,
  type ArtifactLayer,
  BUNDLE,
  digestOf,
  makeArtifact,
  referrersList,
  SIMPLE_SIGNING,
  signatureTag,
  simpleLayers,
} from './pushed-artifacts.ts'
import { type ScriptedRegistry, startScriptedRegistry } from './scripted-registry.ts'

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const INDEX = 'application/vnd.oci.image.index.v1+json'

let folder: string
let made: MadeImage
let key: SigningKey
let otherKey: SigningKey
/** Of the image's manifest, of its config and layers. */
let digest: string
let contents: string[]
let root: string
let store: ImageStore
/** What is in the registry beside the image, by the end of its URL. */
let held: Map<string, { type: string; bytes: Buffer }>
let hasReferrersApi: boolean
let registry: ScriptedRegistry

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-policy-'))
  made = await makeImage(path.join(folder, 'made'))
  key = await makeSigningKey(folder)
  otherKey = await makeSigningKey(folder)
  const { entry, manifest } = await readLayout(made.layout)
  digest = entry.digest
  contents = [manifest.config, ...manifest.layers].map((content) => content.digest)
})

afterAll(() => rm(folder, { recursive: true }))

beforeEach(async () => {
  root = await mkdtemp(path.join(folder, 'root-'))
  store = await ImageStore.open(root)
  held = new Map()
  hasReferrersApi = false
  registry = await startScriptedRegistry(made.layout, serveHeld)
})

afterEach(async () => {
  await registry[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
})

/** Serves what is held; whatever else is asked for by tag is not there. */
function serveHeld({ url = '', method }: IncomingMessage, response: ServerResponse): boolean {
  const [, name = ''] = /^\/v2\/team\/web\/(.+)$/.exec(url) ?? []
  const found = held.get(name)
  if (found !== undefined) {
    response.writeHead(200, { 'content-type': found.type, 'content-length': found.bytes.length })
    response.end(method === 'HEAD' ? undefined : found.bytes)
    return true
  }
  const isElsewhere =
    name.startsWith('referrers/') || (name.startsWith('manifests/') && !name.endsWith('/made'))
  if (!isElsewhere || name.endsWith(digest) === !name.startsWith('referrers/')) return false
  response.writeHead(404).end()
  return true
}

function hold({ manifest, digest: itsDigest, blobs }: Artifact, tag = itsDigest): void {
  held.set(`manifests/${tag}`, { type: MANIFEST, bytes: manifest })
  for (const bytes of blobs) held.set(`blobs/${digestOf(bytes)}`, { type: 'application/octet-stream', bytes })
}

/** Adds artifacts that refer to a manifest, in the way that the registry has. */
function holdReferrers(subject: string, layers: readonly ArtifactLayer[]): void {
  const artifacts = layers.map((layer) => makeArtifact([layer], { subject, artifactType: BUNDLE }))
  for (const artifact of artifacts) hold(artifact)
  const place = hasReferrersApi ? `referrers/${subject}` : `manifests/${subject.replace(':', '-')}`
  held.set(place, { type: INDEX, bytes: referrersList(artifacts) })
}

async function holdSimple(signer = key): Promise<void> {
  const signature = await signSimply(signer, simplePayload(`${registry.host}/team/web`, digest))
  hold(makeArtifact(simpleLayers([signature])), signatureTag(digest))
}

const bundleLayer = async (signer: SigningKey, subject = digest): Promise<ArtifactLayer> => ({
  mediaType: BUNDLE,
  bytes: await makeEnvelopeBundle(signer, signedStatement(subject, { name: `${registry.host}/team/web` })),
})

/** A policy for the registry of the tests, as the settings of the host have it. */
function policies(rule: unknown = { keys: [key.publicKey] }, below = ''): SignaturePolicies {
  return signaturePoliciesSchema.parse({ [`${registry.host}${below}`]: rule })
}

const retryPolicy = { attempts: 2, baseDelayMs: 1, maxDelayMs: 10 }
const pull = (rules = policies(), tag = ':made') =>
  pullImage({ reference: `${registry.host}/team/web${tag}` }, store, {
    policy: requirePolicy(rules),
    retryPolicy,
  })
const coded = (code: string) => expect.objectContaining({ code })
const asked = (word: string) => registry.log.filter((line) => line.includes(word))

/** No byte of the image was fetched, and the store is as it was made. */
async function expectNothingDone(): Promise<void> {
  expect(contents.flatMap(asked)).toEqual([])
  expect(await store.list()).toEqual([])
  expect(await readdir(path.join(root, 'store/blobs/sha256'))).toEqual([])
}

describe('a signed image is pulled', () => {
  test('with a simple signature under the tag', async () => {
    await holdSimple()
    expect(await pull()).toMatchObject({ digest, isNew: true })
  })

  test.each([true, false])('with a bundle; the registry has the referrers API: %s', async (hasApi) => {
    hasReferrersApi = hasApi
    holdReferrers(digest, [await bundleLayer(otherKey), await bundleLayer(key)])
    expect(await pull()).toMatchObject({ digest, isNew: true })
    expect(asked('/referrers/')).toHaveLength(1)
  })

  test('with a signature of the index that it is chosen from', async () => {
    const { entry } = await readLayout(made.layout)
    const platform = { os: 'linux', architecture: 'amd64' }
    const manifests = [{ mediaType: MANIFEST, digest, size: entry.size, platform }]
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests }))
    for (const name of ['multi', digestOf(index)])
      held.set(`manifests/${name}`, { type: INDEX, bytes: index })
    await expect(pull(policies(), ':multi')).rejects.toThrow(coded('oci.not-signed'))
    await expectNothingDone()
    holdReferrers(digestOf(index), [await bundleLayer(key, digestOf(index))])
    expect(await pull(policies(), ':multi')).toMatchObject({ digest, isNew: true })
  })

  test('by everybody who has to sign', async () => {
    const rule = { keys: [key.publicKey, otherKey.publicKey], need: 'all' }
    await holdSimple()
    await expect(pull(policies(rule))).rejects.toThrow('every key has to sign')
    await expectNothingDone()
    holdReferrers(digest, [await bundleLayer(otherKey)])
    expect(await pull(policies(rule))).toMatchObject({ isNew: true })
  })
})

describe('a pull is stopped before anything is fetched', () => {
  test('when nobody has signed', async () => {
    await expect(pull()).rejects.toThrow(coded('oci.not-signed'))
    await expectNothingDone()
  })

  test('when somebody else has signed', async () => {
    await holdSimple(otherKey)
    holdReferrers(digest, [await bundleLayer(otherKey)])
    const reason = 'it was not made with the key that was expected'
    await expect(pull()).rejects.toThrow(
      expect.objectContaining({
        code: 'oci.bad-signature',
        data: expect.objectContaining({
          reasons: [expect.objectContaining({ reason }), expect.objectContaining({ reason })],
        }),
      }),
    )
    await expectNothingDone()
  })

  test('when nothing may come from there, and by whatever name it is asked for', async () => {
    await expect(pull(policies('reject', '/team'))).rejects.toThrow(coded('oci.not-allowed'))
    await expect(pull(policies('reject', '/team'), `@${digest}`)).rejects.toThrow(coded('oci.not-allowed'))
    await expectNothingDone()
  })

  test('when the registry does not say whether there are signatures', async () => {
    await registry[Symbol.asyncDispose]()
    registry = await startScriptedRegistry(made.layout, (request, response) => {
      if (request.url?.endsWith('.sig') !== true) return serveHeld(request, response)
      response.writeHead(500).end()
      return true
    })
    await expect(pull()).rejects.toThrow(coded('oci.registry'))
    await expectNothingDone()
  })
})

describe('an image that the store has already', () => {
  test('is held to the policy that came later, by tag and by digest, and stays', async () => {
    await pull({})
    for (const name of [':made', `@${digest}`])
      await expect(pull(policies(), name)).rejects.toThrow(coded('oci.not-signed'))
    expect(await store.list()).not.toEqual([])
    await holdSimple()
    expect(await pull()).toMatchObject({ isNew: false })
  })
})

describe('policies go by the name', () => {
  test('without one for it, nobody asks for signatures', async () => {
    await pull(policies({ keys: [key.publicKey] }, '/other'))
    expect([...asked('.sig'), ...asked('/referrers/')]).toEqual([])
  })

  test('the longest prefix decides', async () => {
    const rules = signaturePoliciesSchema.parse({
      '*': 'reject',
      [registry.host]: { keys: [key.publicKey] },
      [`${registry.host}/team/web`]: 'accept',
    })
    expect(await pull(rules)).toMatchObject({ isNew: true })
  })
})

describe('what a hostile registry has in the place of signatures costs little', () => {
  const good = async () => signSimply(key, simplePayload(`${registry.host}/team/web`, digest))

  test('a document of 2 MiB is not fetched', async () => {
    const { payload, annotations } = await good()
    const long = Buffer.concat([payload, Buffer.alloc(2 * 1024 * 1024, ' ')])
    hold(makeArtifact([{ mediaType: SIMPLE_SIGNING, bytes: long, annotations }]), signatureTag(digest))
    await expect(pull()).rejects.toThrow('is larger than 1048576 bytes')
    expect(asked('/blobs/')).toEqual([])
  })

  test('a document that is longer than it says', async () => {
    await holdSimple()
    const [name] = [...held.keys()].filter((place) => place.startsWith('blobs/')).slice(-1)
    const honest = held.get(name ?? '')
    if (name === undefined || honest === undefined) throw new Error('no payload')
    held.set(name, { ...honest, bytes: Buffer.concat([honest.bytes, Buffer.alloc(8 * 1024 * 1024, ' ')]) })
    await expect(pull()).rejects.toThrow(coded('oci.bad-signature'))
    await expectNothingDone()
  })

  test('a manifest of a thousand layers', async () => {
    const { payload, annotations } = await good()
    const layer = { mediaType: SIMPLE_SIGNING, bytes: payload, annotations }
    hold(makeArtifact(Array.from({ length: 1000 }, () => layer)), signatureTag(digest))
    await expect(pull()).rejects.toThrow(coded('oci.bad-signature'))
    expect(asked('/blobs/')).toEqual([])
  })

  test('a list of a thousand referrers', async () => {
    const layer = await bundleLayer(otherKey)
    const artifacts = Array.from({ length: 1000 }, (_, count) =>
      makeArtifact([layer], { subject: digest, artifactType: BUNDLE, annotations: { count: `${count}` } }),
    )
    for (const artifact of artifacts) hold(artifact)
    held.set(`referrers/${digest}`, { type: INDEX, bytes: referrersList(artifacts) })
    await expect(pull()).rejects.toThrow(coded('oci.bad-signature'))
    expect(registry.log.length).toBeLessThan(300)
    await expectNothingDone()
  })

  test.each(['text/html', INDEX, 'application/vnd.docker.distribution.manifest.v2+json'])(
    'a signature that is delivered as %s',
    async (type) => {
      await holdSimple()
      const place = `manifests/${signatureTag(digest)}`
      held.set(place, { type, bytes: held.get(place)?.bytes ?? Buffer.alloc(0) })
      await expect(pull()).rejects.toThrow(coded('oci.bad-signature'))
      await expectNothingDone()
    },
  )

  test('JSON that nests without end', async () => {
    const bytes = Buffer.from(`${'['.repeat(100_000)}${']'.repeat(100_000)}`)
    holdReferrers(digest, [{ mediaType: BUNDLE, bytes }])
    held.set(`manifests/${signatureTag(digest)}`, { type: MANIFEST, bytes })
    await expect(pull()).rejects.toThrow(coded('oci.bad-signature'))
    await expectNothingDone()
  })
})
