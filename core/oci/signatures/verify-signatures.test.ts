// What a hostile or broken registry can put in the place of signatures. Signatures of real tools are in tests/images.

import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { digestHex, digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { Descriptor } from '../manifest.ts'
import { parseReference } from '../reference.ts'
import { requirePolicy } from './policy.ts'
import { MemoryArtifacts } from './testing/memory-artifacts.ts'
import { verifySignatures } from './verify-signatures.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
const manifest = Buffer.from('the manifest of an image')
const digest = digestOf(manifest)
const tag = `sha256-${digestHex(digest)}.sig`
const image = { reference: parseReference('registry.example/team/app:1'), digest }
const SIMPLE = 'application/vnd.dev.cosign.simplesigning.v1+json'
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const IN_TOTO = 'application/vnd.in-toto+json'
const SIGNED = 'https://sigstore.dev/cosign/sign/v1'

let artifacts: MemoryArtifacts
beforeEach(() => {
  artifacts = new MemoryArtifacts()
})

const verify = (request: Partial<Parameters<typeof verifySignatures>[0]> = {}) =>
  verifySignatures({ image, keys: [pem], identity: 'if-named', ...request }, artifacts)
const signed = (bytes: Buffer) => sign(null, bytes, privateKey).toString('base64')
const json = (value: unknown) => Buffer.from(JSON.stringify(value))
const annotated = (signature: string) => ({ 'dev.cosignproject.cosign/signature': signature })
const coded = (code: string) => expect.objectContaining({ code })

const payload = json({
  critical: {
    identity: { 'docker-reference': 'registry.example/team/app' },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
  },
  optional: { creator: 'a test' },
})

const simple = (bytes = payload, signature = signed(bytes)) =>
  artifacts.addBlob(bytes, SIMPLE, annotated(signature))

const statement = (more: object = {}) =>
  json({
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { sha256: digestHex(digest) } }],
    predicateType: SIGNED,
    predicate: {},
    ...more,
  })

const envelopeOf = (bytes: Buffer, type = IN_TOTO) => {
  const message = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${bytes.length} `), bytes])
  return { payload: bytes.toString('base64'), payloadType: type, signatures: [{ sig: signed(message) }] }
}

const bundleOf = (more: object) => ({
  mediaType: BUNDLE,
  verificationMaterial: { publicKey: { hint: 'any' } },
  ...more,
})

function addBundle(bundle: object | Buffer, artifactType: string | undefined = BUNDLE): void {
  const layer = artifacts.addBlob(Buffer.isBuffer(bundle) ? bundle : json(bundle), BUNDLE)
  artifacts.addReferrer(digest, { ...artifacts.addManifest([layer]), artifactType })
}

async function faults(): Promise<string[]> {
  const error = await verify().then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!(error instanceof OciError) || error.code !== 'oci.bad-signature') throw error
  return (error.data as { reasons: { reason: string }[] }).reasons.map(({ reason }) => reason)
}

describe('simple signing', () => {
  test('a good one counts, and is told with its key and name', async () => {
    artifacts.addManifest([simple()], tag)
    expect(await verify()).toEqual({
      digest,
      signatures: [
        {
          format: 'simple-signing',
          keyId: expect.stringMatching(/^[0-9a-f]{64}$/),
          signedReference: 'registry.example/team/app',
        },
      ],
    })
  })

  test.each([
    ['a critical member that nobody knows', { expires: 'yesterday' }, 'Unrecognized key: "expires"'],
    ['another type', { type: 'atomic container signature' }, 'expected "cosign container image signature"'],
    ['no identity', { identity: {} }, 'docker-reference'],
  ])('%s', async (_, change, complaint) => {
    const document = JSON.parse(payload.toString())
    artifacts.addManifest([simple(json({ ...document, critical: { ...document.critical, ...change } }))], tag)
    expect(await faults()).toEqual([expect.stringContaining(complaint)])
  })

  test.each([
    [
      'another image',
      { image: { 'docker-manifest-digest': `sha256:${'0'.repeat(64)}` } },
      'it is of another image',
    ],
    [
      'another repository',
      { identity: { 'docker-reference': 'registry.example/team/web' } },
      'it was made for',
    ],
    ['a name that is none', { identity: { 'docker-reference': 'UPPER CASE' } }, 'something that is no name'],
  ])('%s', async (_, change, complaint) => {
    const document = JSON.parse(payload.toString())
    artifacts.addManifest([simple(json({ ...document, critical: { ...document.critical, ...change } }))], tag)
    expect(await faults()).toEqual([expect.stringContaining(complaint)])
  })

  test('a payload that says two things', async () => {
    const other = `"critical":{"image":{"docker-manifest-digest":"sha256:${'0'.repeat(64)}"}},`
    artifacts.addManifest([simple(Buffer.from(payload.toString().replace('{', `{${other}`)))], tag)
    expect(await faults()).toEqual([expect.stringContaining('occurs twice')])
  })

  test('a payload that nests too deep, and one that is too long', async () => {
    const deep = Buffer.from(payload.toString().replace('"a test"', `${'['.repeat(100)}${']'.repeat(100)}`))
    const long = Buffer.from(payload.toString().replace('a test', 'x'.repeat(LIMITS.signatureBytes)))
    artifacts.addManifest([simple(deep), simple(long)], tag)
    expect(await faults()).toEqual([
      expect.stringContaining('nested deeper'),
      expect.stringContaining('larger'),
    ])
  })

  test('no signature, and things that are none', async () => {
    const bare = artifacts.addBlob(payload, SIMPLE)
    artifacts.addManifest(
      [bare, simple(payload, ''), simple(payload, 'not base64!'), simple(payload, 'AAAA')],
      tag,
    )
    expect(await faults()).toEqual([
      expect.stringContaining('no base64'),
      expect.stringContaining('no base64'),
      expect.stringContaining('no base64'),
      'it was not made with the key that was expected',
    ])
  })

  test('a blob that is missing or not what it says does not hide the good one beside it', async () => {
    const { digest: other } = artifacts.addBlob(Buffer.from('x'), SIMPLE)
    const missing = { ...simple(), digest: digestOf(Buffer.from('nowhere')) }
    artifacts.addManifest([missing, { ...simple(), digest: other }, simple()], tag)
    expect((await verify()).signatures).toHaveLength(1)
  })

  test('layers of other types are no signatures', async () => {
    const layer = { ...simple(), mediaType: 'text/plain' }
    artifacts.addManifest([layer], tag)
    await expect(verify()).rejects.toThrow(coded('oci.not-signed'))
  })
})

describe('what stands in the place of signatures', () => {
  test.each([
    ['no JSON', Buffer.from('hello')],
    [
      'an image index',
      json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [] }),
    ],
    ['a manifest with a thousand layers', json(thousandLayers())],
  ])('%s under the tag', async (_, bytes) => {
    artifacts.addManifestBytes(bytes, tag)
    expect(await faults()).toHaveLength(1)
  })

  test('more signatures than are looked at: the rest costs nothing', async () => {
    const layers = Array.from({ length: 500 }, () => simple(payload, 'AAAA'))
    artifacts.addManifest([...layers, simple()], tag)
    expect((await faults()).at(-1)).toContain('there are more than 128')
    expect(artifacts.requests.filter((request) => request.startsWith('blob'))).toHaveLength(LIMITS.signatures)
  })

  test('more referrers than are looked at', async () => {
    for (let count = 0; count < 1000; count += 1) addBundle(Buffer.from(`${count}`))
    expect((await faults()).at(-1)).toContain('there are more than 128')
    expect(artifacts.requests.length).toBeLessThan(2 * LIMITS.signatures + 5)
  })

  test('more referrers than are looked at, with nothing in them', async () => {
    for (let count = 0; count < 1000; count += 1) {
      const layer = artifacts.addBlob(Buffer.from(`${count}`), 'text/plain')
      artifacts.addReferrer(digest, artifacts.addManifest([layer]))
    }
    expect(await faults()).toEqual([expect.stringContaining('there are more than 128')])
    expect(artifacts.requests.length).toBeLessThan(LIMITS.signatures + 5)
  })

  test('a list of referrers that cannot be read does not hide a signature under the tag', async () => {
    artifacts.referrers = async () => {
      throw new OciError('oci.limit', 'Cannot read the referrers: there are too many')
    }
    expect(await faults()).toEqual(['Cannot read the referrers: there are too many'])
    artifacts.addManifest([simple()], tag)
    expect((await verify()).signatures).toHaveLength(1)
  })

  test('a registry that does not answer is not taken for an image that nobody signed', async () => {
    artifacts.addManifest([simple()], tag)
    artifacts.blob = async () => {
      throw new OciError('oci.offline', 'Cannot reach registry.example')
    }
    await expect(verify()).rejects.toThrow(coded('oci.offline'))
  })
})

function thousandLayers() {
  const layer: Descriptor = { mediaType: SIMPLE, digest: digestOf(payload), size: payload.length }
  const mediaType = 'application/vnd.oci.image.manifest.v1+json'
  return { schemaVersion: 2, mediaType, config: layer, layers: Array.from({ length: 1000 }, () => layer) }
}

describe('bundles', () => {
  test('a statement, and a message signature', async () => {
    artifacts.addManifestBytes(manifest)
    addBundle(bundleOf({ dsseEnvelope: envelopeOf(statement()) }))
    addBundle(bundleOf({ messageSignature: { signature: signed(manifest) } }))
    expect((await verify()).signatures.map(({ format }) => format)).toEqual(['bundle', 'bundle'])
  })

  test('one whose type the list leaves out', async () => {
    addBundle(bundleOf({ dsseEnvelope: envelopeOf(statement()) }), '')
    expect((await verify()).signatures).toHaveLength(1)
  })

  test('a list that lies about the type of what it lists leads to nothing', async () => {
    const layer = artifacts.addBlob(json(bundleOf({ dsseEnvelope: envelopeOf(statement()) })), 'text/plain')
    artifacts.addReferrer(digest, { ...artifacts.addManifest([layer]), artifactType: BUNDLE })
    await expect(verify()).rejects.toThrow(coded('oci.not-signed'))
  })

  test('statements on something else are not signatures, also when they are signed with the key', async () => {
    addBundle(
      bundleOf({ dsseEnvelope: envelopeOf(statement({ predicateType: 'https://slsa.dev/provenance/v1' })) }),
    )
    addBundle(bundleOf({ dsseEnvelope: envelopeOf(statement(), 'text/plain') }))
    await expect(verify()).rejects.toThrow(coded('oci.not-signed'))
  })

  const envelope = envelopeOf(statement())
  test.each([
    ['no JSON', Buffer.from('{'), 'not valid JSON'],
    ['a version to come', { ...bundleOf({ dsseEnvelope: envelope }), mediaType: `${BUNDLE}.v9` }, 'version'],
    ['no content', bundleOf({}), 'exactly one of a message signature and an envelope'],
    [
      'both kinds of content',
      bundleOf({ dsseEnvelope: envelope, messageSignature: { signature: signed(manifest) } }),
      'exactly one of a message signature and an envelope',
    ],
    [
      'no key hint',
      { ...bundleOf({ dsseEnvelope: envelope }), verificationMaterial: {} },
      'exactly one of a key hint',
    ],
    [
      'a key hint and a certificate',
      {
        ...bundleOf({ dsseEnvelope: envelope }),
        verificationMaterial: { publicKey: {}, certificate: { rawBytes: 'AAAA' } },
      },
      'exactly one of a key hint',
    ],
    ['no signature', bundleOf({ dsseEnvelope: { ...envelope, signatures: [] } }), 'signatures'],
    [
      'two signatures',
      bundleOf({
        dsseEnvelope: { ...envelope, signatures: [...envelope.signatures, ...envelope.signatures] },
      }),
      'signatures',
    ],
    ['text that is no base64', bundleOf({ dsseEnvelope: { ...envelope, payload: 'é' } }), 'is not base64'],
    [
      'a certificate that is none',
      {
        ...bundleOf({ dsseEnvelope: envelope }),
        verificationMaterial: { certificate: { rawBytes: 'AAAA' } },
      },
      'signed without a key: by a certificate that cannot be read; not supported',
    ],
    [
      'a subject that is another image',
      bundleOf({
        dsseEnvelope: envelopeOf(statement({ subject: [{ digest: { sha256: '0'.repeat(64) } }] })),
      }),
      `it is of another image, sha256:${'0'.repeat(64)}`,
    ],
    [
      'a digest of another kind',
      bundleOf({
        dsseEnvelope: envelopeOf(statement({ subject: [{ digest: { sha1: digestHex(digest) } }] })),
      }),
      'it is of another image',
    ],
    ['no subject', bundleOf({ dsseEnvelope: envelopeOf(statement({ subject: [] })) }), 'subject'],
    [
      'a name of another repository',
      bundleOf({
        dsseEnvelope: envelopeOf(
          statement({ subject: [{ name: 'registry.example/x/y', digest: { sha256: digestHex(digest) } }] }),
        ),
      }),
      'it was made for "registry.example/x/y"',
    ],
    [
      'a message signature that cannot be compared, for want of the manifest',
      bundleOf({ messageSignature: { signature: signed(manifest) } }),
      'does not have the manifest',
    ],
  ])('%s', async (_, bundle, complaint) => {
    addBundle(bundle)
    expect(await faults()).toEqual([expect.stringContaining(complaint)])
  })

  test('a signature of another message', async () => {
    artifacts.addManifestBytes(manifest)
    addBundle(bundleOf({ messageSignature: { signature: signed(Buffer.from('another manifest')) } }))
    expect(await faults()).toEqual(['it was not made with the key that was expected'])
  })

  test('an envelope whose type was changed is not what was signed', async () => {
    const { payload: text, signatures } = envelopeOf(statement(), 'application/vnd.other')
    addBundle(bundleOf({ dsseEnvelope: { payload: text, payloadType: IN_TOTO, signatures } }))
    expect(await faults()).toEqual(['it was not made with the key that was expected'])
  })
})

describe('identity', () => {
  beforeEach(() => addBundle(bundleOf({ dsseEnvelope: envelopeOf(statement()) })))

  test('a signature without a name counts unless one is asked for', async () => {
    for (const identity of ['if-named', 'any'] as const)
      expect((await verify({ identity })).signatures).toHaveLength(1)
    await expect(verify({ identity: 'exact-repository' })).rejects.toThrow('it names no repository')
  })

  test('a person who checks by hand need not say which', async () => {
    expect((await verifySignatures({ image, keys: [pem] }, artifacts)).signatures).toHaveLength(1)
  })
})

describe('requirePolicy()', () => {
  const other = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const policy = (need: 'any' | 'all', keys = [pem, other]) =>
    requirePolicy({ 'registry.example': { keys, need, identity: 'exact-repository' } })

  test('asks nothing where nothing is required', async () => {
    await requirePolicy({})(image, artifacts)
    await requirePolicy({ 'registry.example/team': 'accept', '*': 'reject' })(image, artifacts)
    expect(artifacts.requests).toEqual([])
  })

  test('is content with the first good signature', async () => {
    artifacts.addManifest([simple(payload, 'AAAA'), simple(), simple()], tag)
    await policy('any')(image, artifacts)
    expect(artifacts.requests.map((request) => request.split(' ')[0])).toEqual(['manifest', 'blob', 'blob'])
  })

  test('can want every key', async () => {
    artifacts.addManifest([simple()], tag)
    await policy('all', [pem])(image, artifacts)
    await expect(policy('all')(image, artifacts)).rejects.toThrow('every key has to sign')
  })

  test('takes a signature of the index for the manifest that was chosen from it', async () => {
    artifacts.addManifest([simple()], tag)
    const chosen = { ...image, digest: digestOf(Buffer.from('another manifest')), indexDigest: digest }
    await policy('any')(chosen, artifacts)
    await expect(policy('any')({ ...chosen, indexDigest: undefined }, artifacts)).rejects.toThrow(
      coded('oci.not-signed'),
    )
  })
})

test('whatever is done to a good bundle or payload, it ends with a clear answer, and no change counts', async () => {
  const bundle = json(bundleOf({ dsseEnvelope: envelopeOf(statement()) }))
  const meaning = (bytes: Buffer) => {
    const { payloadType, payload, signatures } = JSON.parse(bytes.toString()).dsseEnvelope
    return [payloadType, Buffer.from(payload, 'base64'), Buffer.from(signatures[0].sig, 'base64')]
  }
  await fc.assert(
    fc.asyncProperty(
      fc.nat(bundle.length - 1),
      fc.uint8Array({ maxLength: 3 }),
      fc.nat(3),
      async (at, inserted, cut) => {
        artifacts = new MemoryArtifacts()
        const changed = Buffer.concat([bundle.subarray(0, at), inserted, bundle.subarray(at + cut)])
        addBundle(changed)
        const result = await verify().catch((error: unknown) => error)
        if (result instanceof Error)
          expect(['oci.bad-signature', 'oci.not-signed']).toContain((result as OciError).code)
        else expect(meaning(changed)).toEqual(meaning(bundle))
      },
    ),
    { numRuns: 2000 },
  )
})
