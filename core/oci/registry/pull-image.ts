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
import type { Credentials } from './authorizer.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy } from './backoff.ts'
import { RegistryConnection } from './registry-connection.ts'
import { RegistrySource } from './registry-source.ts'

export interface PullRequest {
  /** As a person writes it. */
  readonly reference: string
  readonly platform?: Platform | undefined
  readonly credentials?: Credentials | undefined
  readonly plainHttp?: boolean | undefined
  /** PEM text of a certificate authority to trust beside the system's. */
  readonly certificateAuthority?: string | undefined
  /** Hosts of token servers that may see the credentials. */
  readonly trustedRealms?: readonly string[] | undefined
}

export interface PullOptions {
  readonly retryPolicy?: RetryPolicy | undefined
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

/** Pulls an image into the store. The errors are those of `OciErrorCode`. */
export async function pullImage(
  request: PullRequest,
  store: ImageStore,
  { retryPolicy = DEFAULT_RETRY_POLICY, signal, onProgress }: PullOptions = {},
): Promise<PullResult> {
  const asked = parseReference(request.reference)
  // With a digest the tag says nothing more: it is neither asked for nor kept.
  const reference = asked.digest === undefined ? asked : atDigest(asked, asked.digest)
  const platform = request.platform ?? machinePlatform()
  onProgress?.({ phase: 'resolve', bytesDone: 0, bytesTotal: 0, layers: [] })
  const stored = { store, reference, platform }
  const known = reference.digest === undefined ? undefined : await findStored(stored, reference.digest)
  if (known !== undefined) return known
  await using connection = await RegistryConnection.open(reference, { ...request, signal })
  const source = new RegistrySource(connection, reference, retryPolicy)
  const current = await source.peekDigest(signal)
  const unchanged = current === undefined ? undefined : await findStored(stored, current)
  if (unchanged !== undefined) return unchanged
  const options = { store, source, platform, signal, name: familiarReference(reference), onProgress }
  const root = await source.resolve(current, signal)
  const located = await locateManifest(root, options)
  using hold = store.blobs.hold()
  await transferImage(located, hold, { ...options, phase: 'download', parallel: PARALLEL_DOWNLOADS })
  const { mediaType, digest, size } = located.descriptor
  const indexDigest = digest === root.digest ? undefined : root.digest
  await store.setReference(reference, { mediaType, digest, size }, { indexDigest })
  return { reference: formatReference(reference), digest, isNew: true }
}

/** The image in the store, if the name leads to this digest there too and the platform is the one asked for. */
async function findStored(
  { store, reference, platform }: { store: ImageStore; reference: ImageReference; platform: Platform },
  digest: Digest,
): Promise<PullResult | undefined> {
  const stored = await store.findReference(reference)
  if (stored === undefined || (stored.manifest.digest !== digest && stored.indexDigest !== digest))
    return undefined
  const { manifest, config } = await store.openReference(stored)
  if (config.platform.architecture !== '' && !platformFits(platform, config.platform)) return undefined
  for (const layer of manifest.layers) if (!(await store.blobs.has(layer))) return undefined
  return { reference: stored.name, digest: stored.manifest.digest, isNew: false }
}
