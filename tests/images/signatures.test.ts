// Signatures in real registries, made by openssl and @sigstore/sign: which count, which do not and why.

import { createPublicKey } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { bundleFromJSON } from '@sigstore/bundle'
import { toSignedEntity, VerificationError, Verifier } from '@sigstore/verify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDigest } from '../../core/oci/digest.ts'
import { OciError } from '../../core/oci/errors.ts'
import { parseReference } from '../../core/oci/reference.ts'
import { openArtifacts } from '../../core/oci/registry/registry-artifacts.ts'
import {
  type SignedImage,
  type VerifyRequest,
  verifySignatures,
} from '../../core/oci/signatures/verify-signatures.ts'
import { hexOf, type MadeImage, makeImage, readLayout, skopeoCopy } from './made-images.ts'
import {
  type KeyKind,
  makeEnvelopeBundle,
  makeMessageBundle,
  makeSignerCertificate,
  makeSigningKey,
  type SigningKey,
  type SimpleSignature,
  signedStatement,
  signSimply,
  simplePayload,
} from './made-signatures.ts'
import {
  BUNDLE,
  digestOf,
  makeArtifact,
  pushArtifact,
  pushReferrers,
  putManifest,
  SIGNATURE_ARTIFACT,
  signatureTag,
  simpleLayers,
} from './pushed-artifacts.ts'
import { type RunningServer, startRegistry } from './registry-servers.ts'

let folder: string
let registry: RunningServer
let made: MadeImage
let key: SigningKey
let otherKey: SigningKey
/** The manifest in every repository below. */
let manifest: Buffer
let digest: string
let repositories = 0

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bulkhead-signatures-'))
  made = await makeImage(path.join(folder, 'made'))
  registry = await startRegistry(path.join(folder, 'registry'), { auth: 'none' })
  key = await makeSigningKey(folder)
  otherKey = await makeSigningKey(folder)
  const { entry, blobs } = await readLayout(made.layout)
  manifest = await readFile(path.join(blobs, hexOf(entry)))
  digest = entry.digest
})

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

/** A repository with the image and nothing else: `127.0.0.1:PORT/signed/1`. */
async function newRepository(): Promise<string> {
  repositories += 1
  const repository = `${registry.host}/signed/${repositories}`
  await skopeoCopy(`oci:${made.layout}:made`, `docker://${repository}:1`, '--dest-tls-verify=false')
  return repository
}

const imageIn = (repository: string): SignedImage => ({
  reference: parseReference(`${repository}:1`),
  digest: parseDigest(digest),
})

async function verify(repository: string, more: Partial<VerifyRequest> = {}) {
  const image = imageIn(repository)
  await using artifacts = await openArtifacts(image.reference, {})
  return await verifySignatures({ image, keys: [key.publicKey], ...more }, artifacts)
}

const signatureFor = async (repository: string, signer = key): Promise<SimpleSignature> =>
  signSimply(signer, simplePayload(repository, digest))

const pushSigned = (repository: string, ...signatures: SimpleSignature[]) =>
  pushArtifact(repository, makeArtifact(simpleLayers(signatures)), signatureTag(digest))

const pushBundles = (repository: string, bundles: readonly Buffer[], subject = digest) =>
  pushReferrers(
    repository,
    subject,
    bundles.map((bytes) => makeArtifact([{ mediaType: BUNDLE, bytes }], { subject, artifactType: BUNDLE })),
  )

/** Why no signature counts. */
async function reasonsIn(repository: string, more: Partial<VerifyRequest> = {}): Promise<string[]> {
  const error = await verify(repository, more).catch((thrown: unknown) => thrown)
  if (!(error instanceof OciError) || error.code !== 'oci.bad-signature') throw error
  return (error.data as { reasons: { reason: string }[] }).reasons.map(({ reason }) => reason)
}

describe('simple signing', () => {
  test.each<KeyKind>(['P-256', 'P-384', 'P-521', 'Ed25519', 'RSA', 'RSA-PSS'])(
    'a signature with %s is good, and no other key says so',
    async (kind) => {
      const repository = await newRepository()
      const signer = await makeSigningKey(folder, kind)
      await pushSigned(repository, await signatureFor(repository, signer))
      const { signatures } = await verify(repository, { keys: [otherKey.publicKey, signer.publicKey] })
      expect(signatures).toEqual([
        { format: 'simple-signing', keyId: expect.any(String), signedReference: repository },
      ])
      expect(await reasonsIn(repository, { keys: [(await makeSigningKey(folder, kind)).publicKey] })).toEqual(
        ['it was not made with the key that was expected'],
      )
    },
  )

  test('a signature with the tag in its name, as skopeo makes it', async () => {
    const repository = await newRepository()
    await pushSigned(repository, await signSimply(key, simplePayload(`${repository}:some-tag`, digest)))
    expect((await verify(repository)).signatures).toHaveLength(1)
  })

  test('among the referrers', async () => {
    const repository = await newRepository()
    const layers = simpleLayers([await signatureFor(repository)])
    const artifact = makeArtifact(layers, { subject: digest, artifactType: SIGNATURE_ARTIFACT })
    await pushReferrers(repository, digest, [artifact])
    expect((await verify(repository)).signatures).toHaveLength(1)
  })

  test('a signature of another image', async () => {
    const repository = await newRepository()
    const other = digestOf(Buffer.from('another'))
    await pushSigned(repository, await signSimply(key, simplePayload(repository, other)))
    expect(await reasonsIn(repository)).toEqual([`it is of another image, ${other}`])
  })

  test('a signature that was made for another repository', async () => {
    const repository = await newRepository()
    await pushSigned(repository, await signatureFor('registry.example/other'))
    expect(await reasonsIn(repository)).toEqual(['it was made for "registry.example/other"'])
    expect(await reasonsIn(repository, { identity: 'if-named' })).toHaveLength(1)
    expect((await verify(repository, { identity: 'any' })).signatures).toEqual([
      expect.objectContaining({ signedReference: 'registry.example/other' }),
    ])
  })

  test('a payload, and a signature, that were changed', async () => {
    const repository = await newRepository()
    const { payload, annotations } = await signatureFor(repository)
    const changed = Buffer.from(payload.toString().replace('"optional":null', '"optional":{}'))
    const others = await signatureFor(repository, otherKey)
    await pushSigned(
      repository,
      { payload: changed, annotations },
      { payload, annotations: others.annotations },
    )
    const reason = 'it was not made with the key that was expected'
    expect(await reasonsIn(repository)).toEqual([reason, reason])
  })

  test('several signatures of which one is good', async () => {
    const repository = await newRepository()
    const good = await signatureFor(repository)
    await pushSigned(
      repository,
      await signatureFor(repository, otherKey),
      good,
      await signatureFor('quay.io/x'),
    )
    expect((await verify(repository)).signatures).toEqual([
      expect.objectContaining({ signedReference: repository }),
    ])
  })

  test('a signature without a key, by certificate', async () => {
    const repository = await newRepository()
    const certificate = await makeSignerCertificate(otherKey, 'developer@example.com')
    const { payload, annotations } = await signatureFor(repository, otherKey)
    const more = { ...annotations, 'dev.sigstore.cosign/certificate': certificate }
    await pushSigned(repository, { payload, annotations: more })
    expect(await reasonsIn(repository)).toEqual([
      'it was signed without a key: by a certificate for email:developer@example.com; not supported',
    ])
  })

  test('no signature at all, and only of something else', async () => {
    const repository = await newRepository()
    const notSigned = expect.objectContaining({ code: 'oci.not-signed' })
    await expect(verify(repository)).rejects.toThrow(notSigned)
    const attachment = makeArtifact([{ mediaType: 'text/spdx', bytes: Buffer.from('parts list') }])
    await pushArtifact(repository, attachment, signatureTag(digest))
    await expect(verify(repository)).rejects.toThrow(notSigned)
  })
})

describe('bundles', () => {
  test('a statement and a message signature are good, and @sigstore/verify says so too', async () => {
    const repository = await newRepository()
    const envelope = await makeEnvelopeBundle(key, signedStatement(digest))
    const message = await makeMessageBundle(key, manifest)
    await pushBundles(repository, [envelope, message])
    const { signatures } = await verify(repository, { identity: 'if-named' })
    expect(signatures.map(({ format }) => format)).toEqual(['bundle', 'bundle'])
    expect(secondOpinion(envelope, key)).toBe(true)
    expect(secondOpinion(message, key, manifest)).toBe(true)
  })

  test('a wrong key, and @sigstore/verify says so too', async () => {
    const repository = await newRepository()
    const bundles = [
      await makeEnvelopeBundle(otherKey, signedStatement(digest)),
      await makeMessageBundle(otherKey, manifest),
    ]
    await pushBundles(repository, bundles)
    const reason = 'it was not made with the key that was expected'
    expect(await reasonsIn(repository)).toEqual([reason, reason])
    for (const bundle of bundles) expect(secondOpinion(bundle, key, manifest)).toBe(false)
  })

  test('a statement that names the repository, and one that names another', async () => {
    const repository = await newRepository()
    const named = (name: string) => makeEnvelopeBundle(key, signedStatement(digest, { name }))
    await pushBundles(repository, [await named('registry.example/other'), await named(repository)])
    expect((await verify(repository)).signatures).toEqual([
      expect.objectContaining({ signedReference: repository }),
    ])
  })

  test('a statement on another image, and a signature of another manifest', async () => {
    const repository = await newRepository()
    const other = Buffer.from('another manifest')
    await pushBundles(repository, [
      await makeEnvelopeBundle(key, signedStatement(digestOf(other))),
      await makeMessageBundle(key, other),
    ])
    expect(await reasonsIn(repository, { identity: 'any' })).toEqual([
      `it is of another image, ${digestOf(other)}`,
      'it is of another image',
    ])
  })

  test('a bundle that was signed without a key', async () => {
    const repository = await newRepository()
    const certificate = await makeSignerCertificate(otherKey, 'developer@example.com')
    await pushBundles(repository, [await makeEnvelopeBundle(otherKey, signedStatement(digest), certificate)])
    expect(await reasonsIn(repository)).toEqual([
      'it was signed without a key: by a certificate for email:developer@example.com; not supported',
    ])
  })

  test('an attestation is no signature, whoever made it', async () => {
    const repository = await newRepository()
    const predicateType = 'https://slsa.dev/provenance/v1'
    await pushBundles(repository, [await makeEnvelopeBundle(key, signedStatement(digest, { predicateType }))])
    await expect(verify(repository)).rejects.toThrow(expect.objectContaining({ code: 'oci.not-signed' }))
  })

  test('a signature of the index counts for the manifest that was chosen from it', async () => {
    const repository = await newRepository()
    const mediaType = 'application/vnd.oci.image.manifest.v1+json'
    const type = 'application/vnd.oci.image.index.v1+json'
    const manifests = [
      { mediaType, digest, size: manifest.length, platform: { os: 'linux', architecture: 'amd64' } },
    ]
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }))
    await putManifest(repository, '2', index, type)
    await pushBundles(repository, [await makeMessageBundle(key, index)], digestOf(index))
    const image = { ...imageIn(repository), indexDigest: parseDigest(digestOf(index)) }
    expect(await verify(repository, { image, identity: 'any' })).toEqual({
      digest,
      signatures: [{ format: 'bundle', keyId: expect.any(String), signedReference: undefined }],
    })
  })
})

/** What @sigstore/verify says of a bundle. */
function secondOpinion(bundle: Buffer, signer: SigningKey, artifact?: Buffer): boolean {
  const publicKey = { publicKey: createPublicKey(signer.publicKey), validFor: () => true }
  const trust = {
    certificateAuthorities: [],
    timestampAuthorities: [],
    tlogs: [],
    ctlogs: [],
    publicKey: () => publicKey,
  }
  const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 })
  try {
    verifier.verify(toSignedEntity(bundleFromJSON(JSON.parse(bundle.toString())), artifact))
    return true
  } catch (error) {
    if (error instanceof VerificationError) return false
    throw error
  }
}
