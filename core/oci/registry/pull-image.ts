// Pulls an image: the name to a digest, the digest to a manifest for this machine, its blobs into the store, and last the
// name. From the first answer on everything is asked for by digest, so a tag that moves meanwhile changes nothing.

import type { Digest } from '../digest.ts'
import { PARALLEL_DOWNLOADS } from '../limits.ts'
import { locateManifest } from '../locate-manifest.ts'
import type { Platform } from '../manifest.ts'
import { machinePlatform, platformFits } from '../platform.ts'
import type { OnProgress } from '../progress.ts'
import {
  atDigest,
  familiarReference,
  formatReference,
  type ImageReference,
  parseReference,
} from '../reference.ts'
import type { ImageStore } from '../store/image-store.ts'
import { transferImage } from '../transfer.ts'
import type { ArtifactSource } from './artifact-source.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './backoff.ts'
import type { RegistryAccess } from './registry-access.ts'
import { RegistryArtifacts } from './registry-artifacts.ts'
import { RegistrySource } from './registry-source.ts'
import { RepositoryServers } from './repository-servers.ts'
import type { TimeLimits } from './time-limits.ts'

export interface PullRequest extends RegistryAccess {
  /** As a person writes it. */
  readonly reference: string
  readonly platform?: Platform | undefined
}

/** What is about to be pulled. */
export interface PulledImage {
  /** The name that it is asked for by. */
  readonly reference: ImageReference
  /** Of its manifest. */
  readonly digest: Digest
  /** Of the index that the name leads to, where it leads to one. */
  readonly indexDigest?: Digest | undefined
}

/**
 * Looks at an image when its manifest is known, before any layer is fetched and before anything is stored, and also when
 * the store has it already. Throws to stop the pull.
 */
export type PullPolicy = (
  image: PulledImage,
  artifacts: ArtifactSource,
  signal: AbortSignal | undefined,
) => Promise<void>

export interface PullOptions {
  readonly retryPolicy?: RetryPolicy | undefined
  readonly timeLimits?: TimeLimits | undefined
  readonly policy?: PullPolicy | undefined
  /** Told of mirrors that were passed over. */
  readonly log?: ((message: string) => void) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

export interface PullResult {
  /** The full reference under which the image is in the store. */
  readonly reference: string
  /** Of its manifest. */
  readonly digest: Digest
  /** False when the store had it already. */
  readonly isNew: boolean
}

/** Pulls an image into the store. The errors are those of `OciErrorCode`, and of the policy. */
export async function pullImage(
  { reference: text, platform = machinePlatform(), ...access }: PullRequest,
  store: ImageStore,
  { retryPolicy = DEFAULT_RETRY_POLICY, timeLimits, policy, log, signal, onProgress }: PullOptions = {},
): Promise<PullResult> {
  const asked = parseReference(text)
  // With a digest the tag says nothing more: it is neither asked for nor kept.
  const reference = asked.digest === undefined ? asked : atDigest(asked, asked.digest)
  const name = familiarReference(reference)
  onProgress?.({ phase: 'resolve', bytesDone: 0, bytesTotal: 0, layers: [] })
  await using servers = new RepositoryServers(reference, access, { retryPolicy, timeLimits, log })
  const { foreignLayers: allowForeign } = access
  const source = new RegistrySource({ servers, reference, retryPolicy, allowForeign })
  const check = async (image: Omit<PulledImage, 'reference'>) =>
    policy?.({ reference: asked, ...image }, new RegistryArtifacts(servers, signal), signal)

  const current = await source.peekDigest(signal)
  const stored = current === undefined ? undefined : await findStored({ store, reference, platform }, current)
  if (stored !== undefined) {
    const { indexDigest, ...result } = stored
    await check({ digest: result.digest, indexDigest })
    return result
  }
  const root = await source.resolve(current, signal)
  const located = await locateManifest(root, { source, name, platform, signal })
  const { mediaType, digest, size } = located.descriptor
  const indexDigest = digest === root.digest ? undefined : root.digest
  await check({ digest, indexDigest })
  using hold = store.blobs.hold()
  await transferImage(located, hold, {
    store,
    source,
    name,
    platform,
    phase: 'download',
    parallel: PARALLEL_DOWNLOADS,
    signal,
    onProgress: (progress) => onProgress?.({ ...progress, ...rateLimitOf(source) }),
  })
  await store.setReference(reference, { mediaType, digest, size }, { indexDigest })
  return { reference: formatReference(reference), digest, isNew: true }
}

function rateLimitOf({ rateLimit }: RegistrySource): Pick<RegistrySource, 'rateLimit'> | undefined {
  return rateLimit === undefined ? undefined : { rateLimit }
}

/** The image in the store, if the name leads to this digest there too and the platform is the one asked for. */
async function findStored(
  { store, reference, platform }: { store: ImageStore; reference: ImageReference; platform: Platform },
  digest: Digest,
): Promise<(PullResult & { readonly indexDigest: Digest | undefined }) | undefined> {
  const stored = await store.findReference(reference)
  if (stored === undefined || (stored.manifest.digest !== digest && stored.indexDigest !== digest))
    return undefined
  const { manifest, config } = await store.openReference(stored)
  if (config.platform.architecture !== '' && !platformFits(platform, config.platform)) return undefined
  for (const layer of manifest.layers) if (!(await store.blobs.has(layer))) return undefined
  const { indexDigest } = stored
  return { reference: stored.name, digest: stored.manifest.digest, isNew: false, indexDigest }
}
