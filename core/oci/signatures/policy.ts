// Which images have to be signed, and by whom: a rule for each registry, namespace or repository, in the settings of the
// host. Off by default. A policy is on what is pulled, like the "docker" transport of containers-policy.json(5): whoever
// imports an archive has its bytes in hand, there is no registry to ask for signatures, and nothing is checked.

import { z } from 'zod'
import { BulkheadError } from '../../errors.ts'
import { OciError } from '../errors.ts'
import { familiarReference, type ImageReference, parseReference } from '../reference.ts'
import type { ArtifactSource } from '../registry/artifact-source.ts'
import { canonicalRepository } from './canonical-repository.ts'
import { parsePublicKey } from './public-key.ts'
import { SIGNED_IDENTITIES } from './signed-identity.ts'
import type { GoodSignature } from './verdict.ts'
import { type SignedImage, verifySignatures } from './verify-signatures.ts'

/** The rule for everything that no other rule is for. */
const EVERYTHING = '*'

const publicKey = z.string().superRefine((pem, context) => {
  try {
    parsePublicKey(pem)
  } catch (error) {
    if (!(error instanceof BulkheadError)) throw error
    context.addIssue({ code: 'custom', message: error.message })
  }
})

const signedBy = z.strictObject({
  /** Who may sign, as PEM. */
  keys: z.array(publicKey).min(1).max(16),
  /** One of them, or each of them. */
  need: z.enum(['any', 'all']).default('any'),
  /** How the name in a signature is compared with the image's. */
  identity: z.enum(SIGNED_IDENTITIES).default('exact-repository'),
})

const withoutKeys = z.enum(['accept', 'reject'])

/**
 * `accept`: no signature is asked for (under a broader rule that asks). `reject`: nothing is pulled from there.
 * Not a union: its complaint would be on no form in particular, and people write these by hand.
 */
export const signaturePolicySchema = z.unknown().transform((value, context) => {
  const result = (typeof value === 'string' ? withoutKeys : signedBy).safeParse(value)
  if (result.success) return result.data
  for (const { path, message } of result.error.issues) context.addIssue({ code: 'custom', path, message })
  return z.NEVER
})
export type SignaturePolicy = z.infer<typeof signaturePolicySchema>

const scope = z.string().refine(isScope, {
  error:
    'is not "*", a registry ("registry.example:5000") or what a repository\'s full name begins with ("docker.io/library")',
})

/** Rules by what they are for; the longest that fits an image's name decides. Part of the host's settings file. */
export const signaturePoliciesSchema = z.record(scope, signaturePolicySchema)
export type SignaturePolicies = z.infer<typeof signaturePoliciesSchema>

/** Called when it is known what is pulled, before any of it is fetched or kept. Throws when it must not be. */
export type PolicyCheck = (
  image: SignedImage,
  artifacts: ArtifactSource,
  signal?: AbortSignal,
) => Promise<void>

/** The rule for an image: that of the longest scope which its name lies in; `accept` when there is none. */
export function policyFor(policies: SignaturePolicies, reference: ImageReference): SignaturePolicy {
  const words = canonicalRepository(reference).split('/')
  for (let count = words.length; count > 0; count -= 1) {
    const policy = ruleOf(policies, words.slice(0, count).join('/'))
    if (policy !== undefined) return policy
  }
  return ruleOf(policies, EVERYTHING) ?? 'accept'
}

/** Throws `oci.not-allowed` when nothing may be pulled from where the reference leads: no request is needed to know. */
export function requireNotRejected(policies: SignaturePolicies, reference: ImageReference): void {
  if (policyFor(policies, reference) !== 'reject') return
  throw new OciError(
    'oci.not-allowed',
    `Cannot pull ${familiarReference(reference)}: the settings of the host reject it`,
    {
      hint: 'See the signature policies in /etc/bulkhead/registries.json.',
    },
  )
}

/**
 * The check that a pull has to pass. It throws `oci.not-allowed`, `oci.not-signed` or `oci.bad-signature`, and what the
 * registry's failures throw: a signature that cannot be read does not count.
 */
export function requirePolicy(policies: SignaturePolicies): PolicyCheck {
  return async (image, artifacts, signal) => {
    requireNotRejected(policies, image.reference)
    const policy = policyFor(policies, image.reference)
    if (policy === 'accept' || policy === 'reject') return
    const { keys, need, identity } = policy
    const missingIn = missingKeys(keys, need)
    const isEnough = (found: readonly GoodSignature[]) => missingIn(found).length === 0
    const { signatures } = await verifySignatures({ image, keys, identity, isEnough }, artifacts, { signal })
    const missing = missingIn(signatures)
    if (missing.length > 0) throw notSignedByAll(image, missing, signatures)
  }
}

/** Tells which keys still have to sign, by their ids, given what has been found. */
function missingKeys(keys: readonly string[], need: 'any' | 'all') {
  const wanted = new Set(keys.map((pem) => parsePublicKey(pem).id))
  return (found: readonly GoodSignature[]): string[] => {
    if (need === 'any' && found.length > 0) return []
    const seen = new Set(found.map(({ keyId }) => keyId))
    return [...wanted].filter((id) => !seen.has(id))
  }
}

function notSignedByAll(
  { reference, digest, indexDigest }: SignedImage,
  missing: readonly string[],
  signatures: readonly GoodSignature[],
): OciError {
  const ids = missing.map((id) => id.slice(0, SHOWN_DIGITS)).join(', ')
  return new OciError(
    'oci.bad-signature',
    `Cannot verify ${familiarReference(reference)}: every key has to sign, and there is no good signature with ${ids}`,
    { data: { digest, indexDigest, missingKeys: missing, signatures } },
  )
}

const SHOWN_DIGITS = 12

function ruleOf(policies: SignaturePolicies, name: string): SignaturePolicy | undefined {
  return Object.hasOwn(policies, name) ? policies[name] : undefined
}

/** Whether the text is spelled as `policyFor` looks it up: a rule that can never fit would be a hole. */
export function isScope(text: string): boolean {
  if (text === EVERYTHING) return true
  try {
    const within = `${text}/some/app`
    return canonicalRepository(parseReference(within)) === within
  } catch {
    // Not what a name can begin with.
    return false
  }
}
