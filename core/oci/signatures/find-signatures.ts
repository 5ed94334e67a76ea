// Finds what a registry keeps as signatures of a manifest: under cosign's tag (specs/SIGNATURE_SPEC.md "Tag-based
// Discovery") and among its referrers (specs/BUNDLE_SPEC.md "Retrieval"). Nothing found here is believed yet.

import { type Digest, digestAlgorithm, digestHex, shortDigest } from '../digest.ts'
import { LIMITS } from '../limits.ts'
import { type Descriptor, type ImageManifest, parseDocument } from '../manifest.ts'
import type { ArtifactSource } from '../registry/artifact-source.ts'
import { isBundleType } from './bundle.ts'
import { faultOf } from './signature-faults.ts'
import { SIMPLE_SIGNING } from './simple-signing.ts'
import { SIGNED_PREDICATE } from './verify-bundle.ts'

/** The artifact type that cosign gives simple signatures among the referrers (OCI 1.1 mode). */
const SIGNATURE_ARTIFACT = 'application/vnd.dev.cosign.artifact.sig.v1+json'
/** What cosign writes beside a bundle on what is in it; a statement of another kind need not be fetched. */
const PREDICATE_ANNOTATION = 'dev.sigstore.bundle.predicateType'

export const TOO_MANY_SIGNATURES = `there are more than ${LIMITS.signatures}; the others were not looked at`

export interface FoundSignature {
  /** Where it is, for people: `layer 2 of the tag sha256-….sig`. */
  readonly where: string
  readonly format: 'simple-signing' | 'bundle'
  readonly layer: Descriptor
}

/** Something in the place of a signature that cannot be read. */
export interface UnreadableSignature {
  readonly where: string
  readonly reason: string
}

/** All that the registry has, in its order, fetched as it is asked for. Throws what the registry's failures throw. */
export async function* findSignatures(
  subject: Digest,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<FoundSignature | UnreadableSignature> {
  const tag = signatureTag(subject)
  if (tag !== undefined) yield* signaturesIn(tag, `the tag ${tag}`, artifacts, signal)
  let referrers: readonly Descriptor[] = []
  try {
    referrers = await artifacts.referrers(subject, undefined, signal)
  } catch (error) {
    yield { where: 'the list of referrers', reason: faultOf(error) }
  }
  const candidates = referrers.filter(mayBeSignature)
  for (const { digest } of candidates.slice(0, LIMITS.signatures))
    yield* signaturesIn(digest, `the referrer ${shortDigest(digest)}`, artifacts, signal)
  if (candidates.length > LIMITS.signatures)
    yield { where: 'the list of referrers', reason: TOO_MANY_SIGNATURES }
}

/** Undefined for a SHA-512 digest: it is too long for a tag (distribution-spec: 128 characters). */
function signatureTag(subject: Digest): string | undefined {
  return digestAlgorithm(subject) === 'sha256' ? `sha256-${digestHex(subject)}.sig` : undefined
}

/** Some registries leave the type out of their lists; then only the manifest tells. */
function mayBeSignature({ artifactType, annotations }: Descriptor): boolean {
  const predicate = annotations?.[PREDICATE_ANNOTATION]
  if (predicate !== undefined && predicate !== SIGNED_PREDICATE) return false
  if (artifactType === undefined || artifactType === '') return true
  return artifactType === SIGNATURE_ARTIFACT || isBundleType(artifactType)
}

async function* signaturesIn(
  key: string,
  where: string,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
): AsyncGenerator<FoundSignature | UnreadableSignature> {
  let manifest: ImageManifest | undefined
  try {
    manifest = await readManifest(key, where, artifacts, signal)
  } catch (error) {
    yield { where, reason: faultOf(error) }
  }
  for (const [position, layer] of manifest?.layers.entries() ?? []) {
    const format = formatOf(layer)
    if (format !== undefined) yield { where: `layer ${position + 1} of ${where}`, format, layer }
  }
}

async function readManifest(
  key: string,
  where: string,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
): Promise<ImageManifest | undefined> {
  const found = await artifacts.manifest(key, signal)
  if (found === undefined) return undefined
  const document = parseDocument(found.bytes, found.mediaType, where)
  return document.kind === 'manifest' ? document : undefined
}

function formatOf({ mediaType }: Descriptor): FoundSignature['format'] | undefined {
  if (mediaType === SIMPLE_SIGNING) return 'simple-signing'
  return isBundleType(mediaType) ? 'bundle' : undefined
}
