// Sigstore bundles (sigstore protobuf-specs protos/sigstore_bundle.proto as JSON): a signature with what is needed to
// check it. Here they are only taken apart and checked for form; verify-bundle.ts decides.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { OciError } from '../errors.ts'
import { parseStrictJson } from '../strict-json.ts'
import { decodeBase64 } from './base64.ts'

/** The media types of bundles that have the form below ("Clients must … accept … the previously defined formats"). */
const BUNDLE_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.dev.sigstore.bundle.v0.3+json',
  'application/vnd.dev.sigstore.bundle+json;version=0.3',
  'application/vnd.dev.sigstore.bundle+json;version=0.2',
  'application/vnd.dev.sigstore.bundle+json;version=0.1',
])
const BUNDLE_PREFIX = 'application/vnd.dev.sigstore.bundle'

/** Whether a layer or an artifact with this type is a bundle of some version. */
export function isBundleType(mediaType: string): boolean {
  return mediaType.startsWith(BUNDLE_PREFIX)
}

const bytes = z.string().transform((text, context) => {
  const decoded = decodeBase64(text)
  if (decoded !== undefined) return decoded
  context.addIssue({ code: 'custom', message: 'is not base64' })
  return z.NEVER
})

const certificate = z.object({ rawBytes: bytes })

const bundleSchema = z.object({
  mediaType: z.string().refine((type) => BUNDLE_TYPES.has(type), 'is a version that is not supported'),
  verificationMaterial: z.object({
    publicKey: z.object({ hint: z.string().optional() }).optional(),
    certificate: certificate.optional(),
    x509CertificateChain: z.object({ certificates: z.array(certificate).min(1).max(16) }).optional(),
  }),
  messageSignature: z
    .object({
      messageDigest: z.object({ algorithm: z.string(), digest: bytes }).optional(),
      signature: bytes,
    })
    .optional(),
  dsseEnvelope: z
    .object({
      payloadType: z.string(),
      payload: bytes,
      // "During verification a client MUST reject an envelope if the number of signatures is not equal to one."
      signatures: z.tuple([z.object({ sig: bytes })]),
    })
    .optional(),
})

/** Who signed: the holder of a key that we have to know already, or of a certificate (DER). */
export type BundleSigner = { readonly kind: 'key' } | { readonly kind: 'certificate'; readonly der: Buffer }

export type BundleContent =
  | {
      readonly kind: 'envelope'
      readonly payloadType: string
      readonly payload: Buffer
      readonly signature: Buffer
    }
  | {
      readonly kind: 'message'
      readonly signature: Buffer
      /** What the signer says that the message hashes to: good for telling messages apart, for nothing else. */
      readonly claimedDigest: { readonly algorithm: string; readonly bytes: Buffer } | undefined
    }

export interface Bundle {
  readonly signer: BundleSigner
  readonly content: BundleContent
}

/** Parses a bundle. Throws `oci.corrupt-image` for what is none, `oci.limit`. */
export function parseBundle(text: Uint8Array): Bundle {
  const value = checkSchema(bundleSchema, parseStrictJson(text, WHAT), WHAT)
  return { signer: signerOf(value), content: contentOf(value) }
}

const WHAT = 'the bundle'

type BundleDocument = z.infer<typeof bundleSchema>

function signerOf({ verificationMaterial }: BundleDocument): BundleSigner {
  const { publicKey, certificate, x509CertificateChain } = verificationMaterial
  const given = [publicKey, certificate, x509CertificateChain].filter((material) => material !== undefined)
  if (given.length !== 1) throw corrupt('it does not have exactly one of a key hint and a certificate')
  const leaf = certificate ?? x509CertificateChain?.certificates[0]
  return leaf === undefined ? { kind: 'key' } : { kind: 'certificate', der: leaf.rawBytes }
}

function contentOf({ messageSignature, dsseEnvelope }: BundleDocument): BundleContent {
  if (dsseEnvelope !== undefined && messageSignature === undefined) {
    const { payloadType, payload, signatures } = dsseEnvelope
    return { kind: 'envelope', payloadType, payload, signature: signatures[0].sig }
  }
  if (messageSignature !== undefined && dsseEnvelope === undefined) {
    const { signature, messageDigest } = messageSignature
    const claimedDigest =
      messageDigest === undefined
        ? undefined
        : { algorithm: messageDigest.algorithm, bytes: messageDigest.digest }
    return { kind: 'message', signature, claimedDigest }
  }
  throw corrupt('it does not have exactly one of a message signature and an envelope')
}

function corrupt(reason: string): OciError {
  return new OciError('oci.corrupt-image', `Cannot read ${WHAT}: ${reason}`)
}
