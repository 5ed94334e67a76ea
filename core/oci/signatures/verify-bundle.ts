// Checks a sigstore bundle as a signature of an image (cosign specs/BUNDLE_SPEC.md): an envelope with the statement
// "this digest was signed", or a signature of the manifest's own bytes.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../digest.ts'
import { LIMITS } from '../limits.ts'
import { parseStrictJson } from '../strict-json.ts'
import type { Bundle, BundleContent } from './bundle.ts'
import { certificateInWords } from './keyless.ts'
import { isSignedBy, type PublicKey } from './public-key.ts'
import { identityFault, shownName } from './signed-identity.ts'
import { type Expected, madeWithUnknownKey, notGood, ofAnotherImage, type Verdict } from './verdict.ts'

const IN_TOTO = 'application/vnd.in-toto+json'
/** cosign pkg/types/predicate.go: the statement of `cosign sign`. Other predicates attest something else. */
export const SIGNED_PREDICATE = 'https://sigstore.dev/cosign/sign/v1'

/** in-toto attestation spec v1 statement.md (v0.1 has the same members). */
const statementSchema = z.object({
  _type: z.enum(['https://in-toto.io/Statement/v1', 'https://in-toto.io/Statement/v0.1']),
  predicateType: z.string(),
  subject: z
    .array(z.object({ name: z.string().optional(), digest: z.record(z.string(), z.string()) }))
    .min(1)
    .max(LIMITS.signedSubjects),
})

type Statement = z.infer<typeof statementSchema>
type Envelope = BundleContent & { kind: 'envelope' }

/**
 * Checks a bundle. `manifestBytes` reads the manifest that was asked for, when its bytes are what was signed. Undefined
 * for a bundle that is no signature but says something else of the image: where it was built, what is in it.
 * Throws `oci.corrupt-image`, `oci.limit`, and what `manifestBytes` throws.
 */
export async function checkBundle(
  { signer, content }: Bundle,
  expected: Expected,
  manifestBytes: () => Promise<Buffer>,
): Promise<Verdict | undefined> {
  const statement = content.kind === 'envelope' ? parseStatement(content) : undefined
  if (content.kind === 'envelope' && statement?.predicateType !== SIGNED_PREDICATE) return undefined
  if (signer.kind === 'certificate') return notGood(certificateInWords(signer.der))
  const message = content.kind === 'envelope' ? preAuthenticationEncoding(content) : await manifestBytes()
  if (isClaimedToBeOther(content, message)) return ofAnotherImage()
  const key = expected.keys.find((candidate) => isSignedBy(candidate, message, content.signature))
  if (key === undefined) return madeWithUnknownKey(expected)
  if (statement === undefined) return judgeIdentity(key, undefined, expected)
  const subject = statement.subject.find((candidate) => isOf(candidate, expected.subject))
  if (subject === undefined) return ofAnotherImage(digestIn(statement))
  return judgeIdentity(key, subject.name === '' ? undefined : subject.name, expected)
}

/** The statement in an envelope; undefined when it holds something else. */
function parseStatement({ payloadType, payload }: Envelope): Statement | undefined {
  if (payloadType !== IN_TOTO) return undefined
  const what = 'the statement of the bundle'
  return checkSchema(statementSchema, parseStrictJson(payload, what), what)
}

function judgeIdentity(key: PublicKey, signedReference: string | undefined, expected: Expected): Verdict {
  const fault = identityFault(signedReference, expected.reference, expected.identity)
  if (fault !== undefined) return notGood(fault)
  return {
    isGood: true,
    signature: { format: 'bundle', keyId: key.id, signedReference: shownName(signedReference) },
  }
}

/** DSSE protocol.md "PAE": type and payload with their lengths, so that neither can be taken for part of the other. */
function preAuthenticationEncoding({ payloadType, payload }: Envelope): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

function isOf(subject: Statement['subject'][number], digest: Digest): boolean {
  const algorithm = digestAlgorithm(digest)
  return Object.hasOwn(subject.digest, algorithm) && subject.digest[algorithm] === digestHex(digest)
}

/** The digest beside a message signature only says what was meant to be signed; that it fits proves nothing. */
function isClaimedToBeOther(content: BundleContent, message: Buffer): boolean {
  if (content.kind !== 'message' || content.claimedDigest?.algorithm !== 'SHA2_256') return false
  return content.claimedDigest.bytes.toString('hex') !== digestHex(digestOf(message))
}

function digestIn({ subject: [first] }: Statement): string | undefined {
  const [entry] = Object.entries(first?.digest ?? {})
  return entry?.join(':')
}
