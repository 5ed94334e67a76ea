// Verifies an image's signatures with public keys: finds them in its registry and says which are good. What counts is
// the digest of the manifest that is pulled, or of the index that it was chosen from, never the tag.

import { type Digest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { familiarReference, type ImageReference } from '../reference.ts'
import type { ArtifactSource } from '../registry/artifact-source.ts'
import { parseBundle } from './bundle.ts'
import {
  type FoundSignature,
  findSignatures,
  TOO_MANY_SIGNATURES,
  type UnreadableSignature,
} from './find-signatures.ts'
import { parsePublicKey } from './public-key.ts'
import { faultOf } from './signature-faults.ts'
import type { SignedIdentity } from './signed-identity.ts'
import { checkSimpleSignature } from './simple-signing.ts'
import { type Expected, type GoodSignature, notGood, type Verdict } from './verdict.ts'
import { checkBundle } from './verify-bundle.ts'

export interface SignedImage {
  /** The name that it is asked for by, before any mirror. */
  readonly reference: ImageReference
  /** Of its manifest. */
  readonly digest: Digest
  /** Of the index that the manifest was chosen from. */
  readonly indexDigest?: Digest | undefined
}

export interface VerifyRequest {
  readonly image: SignedImage
  /** PEM, at least one. */
  readonly keys: readonly string[]
  /** How the name that a signature gives is compared; `if-named` when left out. */
  readonly identity?: SignedIdentity | undefined
  /** Ends the search when what was found is enough; left out, all signatures are looked at. */
  readonly isEnough?: ((found: readonly GoodSignature[]) => boolean) | undefined
}

export interface VerifiedImage {
  /** Of the image's manifest. */
  readonly digest: Digest
  readonly signatures: readonly GoodSignature[]
}

/** Why a signature is not good, in the error's `data.reasons`. */
export interface SignatureFault {
  readonly where: string
  readonly reason: string
}

/**
 * Returns the signatures that are good. Throws `oci.not-signed` when there are none at all, `oci.bad-signature` when
 * none of those found is good (data: `reasons`, one for each), `oci.bad-key`, and what the registry's failures throw.
 */
export async function verifySignatures(
  { image, keys, identity = 'if-named', isEnough }: VerifyRequest,
  artifacts: ArtifactSource,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<VerifiedImage> {
  const publicKeys = keys.map(parsePublicKey)
  const good: GoodSignature[] = []
  const faults: SignatureFault[] = []
  let looks = 0
  for await (const { found, expected } of findAll()) {
    if (looks === LIMITS.signatures) {
      faults.push({ where: artifacts.name, reason: TOO_MANY_SIGNATURES })
      break
    }
    looks += 1
    const verdict = await judge(found, expected, artifacts, signal)
    if (verdict === undefined) continue
    if (verdict.isGood) good.push(verdict.signature)
    else faults.push({ where: found.where, reason: verdict.reason })
    if (isEnough?.(good) === true) break
  }
  if (good.length === 0) throw noGoodSignature(image, artifacts.name, faults)
  return { digest: image.digest, signatures: good }

  async function* findAll() {
    const subjects = image.indexDigest === undefined ? [image.digest] : [image.indexDigest, image.digest]
    for (const subject of new Set(subjects)) {
      const expected: Expected = { subject, reference: image.reference, keys: publicKeys, identity }
      for await (const found of findSignatures(subject, artifacts, signal)) yield { found, expected }
    }
  }
}

async function judge(
  found: FoundSignature | UnreadableSignature,
  expected: Expected,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
): Promise<Verdict | undefined> {
  if ('reason' in found) return notGood(found.reason)
  try {
    const content = await artifacts.blob(found.layer, LIMITS.signatureBytes, signal)
    if (found.format === 'simple-signing')
      return checkSimpleSignature({ layer: found.layer, payload: content }, expected)
    return await checkBundle(parseBundle(content), expected, () =>
      manifestBytes(expected.subject, artifacts, signal),
    )
  } catch (error) {
    return notGood(faultOf(error))
  }
}

async function manifestBytes(
  digest: Digest,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const manifest = await artifacts.manifest(digest, signal)
  if (manifest !== undefined) return manifest.bytes
  throw new OciError('oci.not-found', `${artifacts.name} does not have the manifest ${digest}`)
}

function noGoodSignature(
  { reference, digest, indexDigest }: SignedImage,
  where: string,
  reasons: readonly SignatureFault[],
): OciError {
  const action = `Cannot verify ${familiarReference(reference)}`
  const [first] = reasons
  if (first === undefined) {
    const subject = `${shortDigest(digest)}${indexDigest === undefined ? '' : ` or its index ${shortDigest(indexDigest)}`}`
    return new OciError('oci.not-signed', `${action}: ${where} has no signature of ${subject}`, {
      hint: 'Ask its publisher to sign it (cosign sign), or see the policy for this registry in the settings of the host.',
      data: { digest, indexDigest },
    })
  }
  const others = reasons.length === 1 ? '' : ` (and ${reasons.length - 1} more that are not good either)`
  const message = `${action}: the signature in ${first.where} does not count: ${first.reason}${others}`
  return new OciError('oci.bad-signature', message, { data: { digest, indexDigest, reasons } })
}
