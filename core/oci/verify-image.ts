// Checks the signatures of an image when a person asks for it: of the image that is in the store, or of what its name
// leads to in its registry.

import type { Digest } from './digest.ts'
import { OciError } from './errors.ts'
import { locateManifest } from './locate-manifest.ts'
import { machinePlatform } from './platform.ts'
import { familiarReference, formatReference, type ImageReference, parseReference } from './reference.ts'
import type { ArtifactSource } from './registry/artifact-source.ts'
import type { RegistryAccess } from './registry/registry-access.ts'
import { openArtifacts } from './registry/registry-artifacts.ts'
import { policyFor, requirePolicy, type SignaturePolicies } from './signatures/policy.ts'
import type { GoodSignature } from './signatures/verdict.ts'
import { type SignedImage, verifySignatures } from './signatures/verify-signatures.ts'
import type { ImageStore } from './store/image-store.ts'

export interface VerifyImageRequest extends RegistryAccess {
  /** A reference; the registry in it is asked. */
  readonly image: string
  /** PEM text. Left out: the policies say which keys, and which of them have to sign. */
  readonly keys?: readonly string[] | undefined
  readonly signatures: SignaturePolicies
}

export interface VerifiedSignatures {
  /** The full name. */
  readonly reference: string
  readonly digest: Digest
  readonly signatures: readonly GoodSignature[]
}

/** Throws `oci.bad-key` where nothing says with which key, and the errors of `verifySignatures` and of a policy. */
export async function verifyImage(
  { image: text, keys: given, signatures: policies, ...access }: VerifyImageRequest,
  store: ImageStore,
  { signal, log }: { signal?: AbortSignal | undefined; log?: ((message: string) => void) | undefined } = {},
): Promise<VerifiedSignatures> {
  const reference = parseReference(text)
  const policy = policyFor(policies, reference)
  const keys = given ?? (typeof policy === 'object' ? policy.keys : [])
  if (keys.length === 0) throw withoutKeys(reference)
  await using artifacts = await openArtifacts(reference, access, { signal, log })
  const image = (await findStored(store, reference)) ?? (await findRemote(artifacts, reference, signal))
  if (given === undefined) await requirePolicy(policies)(image, artifacts, signal)
  // Whoever gives a key names the signer; a name in the signature still has to be the image's.
  const identity = typeof policy === 'object' ? policy.identity : 'if-named'
  const { signatures } = await verifySignatures({ image, keys, identity }, artifacts, { signal })
  return { reference: formatReference(reference), digest: image.digest, signatures }
}

async function findStored(store: ImageStore, reference: ImageReference): Promise<SignedImage | undefined> {
  const stored = await store.findReference(reference)
  return stored && { reference, digest: stored.manifest.digest, indexDigest: stored.indexDigest }
}

/** What the name leads to for this machine. */
async function findRemote(
  artifacts: ArtifactSource,
  reference: ImageReference,
  signal: AbortSignal | undefined,
): Promise<SignedImage> {
  const name = familiarReference(reference)
  const read = async (key: string) => {
    const found = await artifacts.manifest(key, signal)
    if (found !== undefined) return found
    throw new OciError('oci.not-found', `There is no image "${name}" in ${artifacts.name}`, {
      hint: 'Check its name and tag.',
    })
  }
  const { bytes, digest, mediaType } = await read(reference.digest ?? reference.tag ?? '')
  const source = {
    readDocument: async (descriptor: { readonly digest: Digest }) =>
      descriptor.digest === digest ? bytes : (await read(descriptor.digest)).bytes,
  }
  const root = { mediaType, digest, size: bytes.length }
  const { descriptor } = await locateManifest(root, { source, name, platform: machinePlatform(), signal })
  const indexDigest = descriptor.digest === digest ? undefined : digest
  return { reference, digest: descriptor.digest, indexDigest }
}

function withoutKeys(reference: ImageReference): OciError {
  return new OciError(
    'oci.bad-key',
    `Cannot verify ${familiarReference(reference)}: no key was given, and the settings of the host have none for it`,
    { hint: 'Give a public key, or put one for the registry into /etc/bulkhead/registries.json.' },
  )
}
