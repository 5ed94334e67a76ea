// Signatures for the tests, made by others: openssl signs, @sigstore/sign makes bundles. (skopeo could sign too, but
// Debian builds it without.) Nothing of ours takes part in making them.

import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { bundleToJSON } from '@sigstore/bundle'
import { DSSEBundleBuilder, MessageSignatureBundleBuilder, type Signature } from '@sigstore/sign'
import { run } from './commands.ts'

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'Ed25519' | 'RSA' | 'RSA-PSS'

export interface SigningKey {
  readonly kind: KeyKind
  /** Path of the private key. */
  readonly file: string
  /** PEM of the public key. */
  readonly publicKey: string
}

export interface SimpleSignature {
  readonly payload: Buffer
  readonly annotations: Readonly<Record<string, string>>
}

/** Makes a key in `folder`. */
export async function makeSigningKey(folder: string, kind: KeyKind = 'P-256'): Promise<SigningKey> {
  await mkdir(folder, { recursive: true })
  const file = path.join(folder, `${randomUUID()}.pem`)
  const algorithm = {
    Ed25519: ['ed25519'],
    RSA: ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
    'RSA-PSS': ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  }
  const curve = (name: string) => ['EC', '-pkeyopt', `ec_paramgen_curve:${name}`]
  const how = kind === 'P-256' || kind === 'P-384' || kind === 'P-521' ? curve(kind) : algorithm[kind]
  await run('openssl', 'genpkey', '-algorithm', ...how, '-out', file)
  return { kind, file, publicKey: await run('openssl', 'pkey', '-in', file, '-pubout') }
}

/** The payload of cosign specs/SIGNATURE_SPEC.md "Simple Signing". */
export function simplePayload(reference: string, digest: string, more: object = {}): Buffer {
  const critical = {
    identity: { 'docker-reference': reference },
    image: { 'docker-manifest-digest': digest },
    type: 'cosign container image signature',
    ...more,
  }
  return Buffer.from(JSON.stringify({ critical, optional: null }))
}

/** Signs a payload for storage as a layer. */
export async function signSimply(key: SigningKey, payload: Buffer): Promise<SimpleSignature> {
  const signature = (await signBytes(key, payload)).toString('base64')
  return { payload, annotations: { 'dev.cosignproject.cosign/signature': signature } }
}

/** The statement of `cosign sign` (in-toto v1) on a manifest. */
export function signedStatement(
  digest: string,
  more: { name?: string; predicateType?: string } = {},
): Buffer {
  const { name, predicateType = 'https://sigstore.dev/cosign/sign/v1' } = more
  const [algorithm = '', hex = ''] = digest.split(':')
  const subject = [{ ...(name === undefined ? {} : { name }), digest: { [algorithm]: hex } }]
  return Buffer.from(
    JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', subject, predicateType, predicate: {} }),
  )
}

/** A bundle with an envelope around a statement. `certificate` (PEM) makes it a keyless one. */
export async function makeEnvelopeBundle(
  key: SigningKey,
  statement: Buffer,
  certificate?: string,
): Promise<Buffer> {
  const signer = { sign: (data: Buffer) => signForBundle(key, data, certificate) }
  const builder = new DSSEBundleBuilder({ signer, witnesses: [], certificateChain: false })
  const bundle = await builder.create({ data: statement, type: 'application/vnd.in-toto+json' })
  return Buffer.from(JSON.stringify(bundleToJSON(bundle)))
}

/** A bundle with a signature of the bytes themselves (@sigstore/sign gives it the older form, v0.2). */
export async function makeMessageBundle(key: SigningKey, message: Buffer): Promise<Buffer> {
  const signer = { sign: (data: Buffer) => signForBundle(key, data) }
  const bundle = await new MessageSignatureBundleBuilder({ signer, witnesses: [] }).create({ data: message })
  return Buffer.from(JSON.stringify(bundleToJSON(bundle)))
}

/** A certificate (PEM) of the key, as an authority for short-lived keys gives to a person. */
export async function makeSignerCertificate(key: SigningKey, email: string): Promise<string> {
  const names = ['-subj', '/', '-addext', `subjectAltName=email:${email}`]
  return run('openssl', 'req', '-x509', '-new', '-key', key.file, '-days', '2', ...names)
}

async function signForBundle(key: SigningKey, data: Buffer, certificate?: string): Promise<Signature> {
  const signature = await signBytes(key, data)
  if (certificate !== undefined) return { signature, key: { $case: 'x509Certificate', certificate } }
  const hint = createHash('sha256').update(key.publicKey).digest('base64')
  return { signature, key: { $case: 'publicKey', publicKey: key.publicKey, hint } }
}

async function signBytes(key: SigningKey, bytes: Buffer): Promise<Buffer> {
  const input = `${key.file}.${randomUUID()}`
  const output = `${input}.sig`
  await writeFile(input, bytes)
  if (key.kind === 'Ed25519') {
    await run('openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', key.file, '-in', input, '-out', output)
  } else {
    const padding = key.kind === 'RSA-PSS' ? ['-sigopt', 'rsa_padding_mode:pss'] : []
    await run('openssl', 'dgst', '-sha256', '-sign', key.file, ...padding, '-out', output, input)
  }
  return readFile(output)
}
