// Simple signing as cosign stores it (cosign specs/SIGNATURE_SPEC.md): a small JSON document that names the image is a
// layer, its signature an annotation of that layer. The document's form: containers/image docs/containers-signature.5.md.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import type { Descriptor } from '../manifest.ts'
import { parseStrictJson } from '../strict-json.ts'
import { decodeBase64 } from './base64.ts'
import { certificateInWords } from './keyless.ts'
import { isSignedBy } from './public-key.ts'
import { identityFault, shownName } from './signed-identity.ts'
import { type Expected, madeWithUnknownKey, notGood, ofAnotherImage, type Verdict } from './verdict.ts'

export const SIMPLE_SIGNING = 'application/vnd.dev.cosign.simplesigning.v1+json'
const SIGNATURE_ANNOTATION = 'dev.cosignproject.cosign/signature'
const CERTIFICATE_ANNOTATION = 'dev.sigstore.cosign/certificate'
/** sigstore pkg/signature/payload; "atomic container signature" is for OpenPGP, which is not stored like this. */
const PAYLOAD_TYPE = 'cosign container image signature'

/** Whoever cannot read a critical member must refuse the signature (containers-signature(5)): nothing else may be there. */
const payloadSchema = z.strictObject({
  critical: z.strictObject({
    type: z.literal(PAYLOAD_TYPE),
    image: z.strictObject({ 'docker-manifest-digest': z.string() }),
    identity: z.strictObject({ 'docker-reference': z.string() }),
  }),
  optional: z.record(z.string(), z.unknown()).nullish(),
})

export interface SimpleSignature {
  /** The layer with its annotations. */
  readonly layer: Descriptor
  readonly payload: Buffer
}

/** Checks one signature. The payload is not parsed before it is known to be signed. Throws `oci.corrupt-image`, `oci.limit`. */
export function checkSimpleSignature({ layer, payload }: SimpleSignature, expected: Expected): Verdict {
  const annotations = layer.annotations ?? {}
  const signature = decodeBase64(annotations[SIGNATURE_ANNOTATION] ?? '')
  if (signature === undefined || signature.length === 0)
    return notGood(`it has no base64 in its annotation "${SIGNATURE_ANNOTATION}"`)
  const key = expected.keys.find((candidate) => isSignedBy(candidate, payload, signature))
  if (key === undefined) {
    const certificate = annotations[CERTIFICATE_ANNOTATION]
    return certificate === undefined ? madeWithUnknownKey(expected) : notGood(certificateInWords(certificate))
  }
  const { critical } = checkSchema(payloadSchema, parseStrictJson(payload, 'the payload'), 'the payload')
  const signedDigest = critical.image['docker-manifest-digest']
  if (signedDigest !== expected.subject) return ofAnotherImage(signedDigest)
  const signedReference = critical.identity['docker-reference']
  const fault = identityFault(signedReference, expected.reference, expected.identity)
  if (fault !== undefined) return notGood(fault)
  return {
    isGood: true,
    signature: { format: 'simple-signing', keyId: key.id, signedReference: shownName(signedReference) },
  }
}
