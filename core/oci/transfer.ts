// Brings one image into the store, wherever it comes from: config and layers, each verified, and the manifest last,
// so that a manifest in the store always has its blobs.

import { bringLayers, type MissingLayer } from './bring-layers.ts'
import { shortDigest } from './digest.ts'
import { OciError, throwIfCancelled } from './errors.ts'
import { type ImageConfig, parseImageConfig, requireMatchingLayers } from './image-config.ts'
import { LayerTracker } from './layer-tracker.ts'
import { LIMITS } from './limits.ts'
import type { LocatedManifest } from './locate-manifest.ts'
import { type Descriptor, type ImageManifest, type Platform, parseImageManifest } from './manifest.ts'
import { type LayerInStore, neededSpace } from './needed-space.ts'
import { noPlatform, platformFits } from './platform.ts'
import type { OnProgress, ProgressPhase } from './progress.ts'
import { readVerified } from './read-verified.ts'
import type { BlobHold } from './store/blob-hold.ts'
import type { BlobStore } from './store/blob-store.ts'
import type { ImageStore } from './store/image-store.ts'

/** Where an image's content comes from: a registry's repository, or an archive. */
export interface ImageSource {
  /** Its layers lie on the store's disk already: bringing them takes no space. */
  readonly movesLayers?: boolean
  /** The bytes of an index, manifest or config; whoever asked verifies them. */
  readDocument(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<Buffer>
  /** Puts a layer into the store, verified. `what` names it in errors. */
  bringLayer(descriptor: Descriptor, what: string, options: BringLayerOptions): Promise<void>
}

export interface BringLayerOptions {
  readonly blobs: BlobStore
  readonly signal: AbortSignal
  /** Told the bytes so far. */
  readonly onProgress: (bytesDone: number) => void
}

export interface TransferOptions {
  readonly store: ImageStore
  readonly source: ImageSource
  /** How errors name the image. */
  readonly name: string
  /** The phase that is reported while layers come. */
  readonly phase: ProgressPhase
  readonly platform: Platform
  /** Layers at the same time. */
  readonly parallel: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/**
 * Stores the blobs of a manifest and then the manifest itself. `hold` keeps them until the caller has made a reference
 * to them. Blobs that are there already are not fetched again.
 */
export async function transferImage(
  located: LocatedManifest,
  hold: BlobHold,
  options: TransferOptions,
): Promise<ImageManifest> {
  const { store, source, name, signal } = options
  const manifest = parseImageManifest(located.bytes, located.descriptor.mediaType, name)
  const layers = distinct(manifest.layers)
  hold.add(located.descriptor.digest, manifest.config.digest, ...layers.map(({ digest }) => digest))
  const { diffIds } = await transferConfig(manifest, options)
  // What is made of the layers on the way is not to be swept either.
  hold.add(...diffIds)
  const tracker = new LayerTracker(layers, options.phase, (progress) => options.onProgress?.(progress))
  const missing: MissingLayer[] = []
  const inStore: LayerInStore[] = []
  for (const descriptor of layers) {
    const diffId = diffIds[manifest.layers.findIndex(({ digest }) => digest === descriptor.digest)]
    if (diffId === undefined) continue
    const isPresent = await store.blobs.has(descriptor)
    inStore.push({ descriptor, diffId, isPresent })
    if (isPresent)
      tracker.present(descriptor, { isUnpacked: (await store.segments.stat(diffId)) !== undefined })
    else missing.push({ descriptor, diffId, name: `layer ${shortDigest(descriptor.digest)} of ${name}` })
  }
  const place = { store, imageDigest: located.descriptor.digest, isMoved: source.movesLayers === true }
  await store.blobs.requireSpace(await neededSpace(inStore, place), `store ${name}`)
  // The biggest first: it decides how long the whole takes.
  missing.sort((one, other) => other.descriptor.size - one.descriptor.size)
  await bringLayers(missing, { store, source, tracker, parallel: options.parallel, signal })
  throwIfCancelled(signal, `store ${name}`)
  await store.blobs.put(located.bytes, `the manifest of ${name}`, located.descriptor.digest)
  return manifest
}

async function transferConfig(
  manifest: ImageManifest,
  { store, source, name, platform, signal }: TransferOptions,
): Promise<ImageConfig> {
  const what = `the config of ${name}`
  const { digest, size } = manifest.config
  if (size > LIMITS.configBytes) {
    throw new OciError(
      'oci.limit',
      `Cannot use ${name}: its config is larger than ${LIMITS.configBytes} bytes`,
      {
        data: { which: 'configBytes' },
      },
    )
  }
  const isHere = await store.blobs.has(manifest.config)
  const bytes = isHere
    ? await store.blobs.read(digest, what)
    : await readVerified(source, manifest.config, what, signal)
  const config = parseImageConfig(bytes, what)
  requireMatchingLayers(config, manifest.layers.length, name)
  // A config without an architecture (some builders leave it out) claims nothing that could be wrong.
  if (config.platform.architecture !== '' && !platformFits(platform, config.platform)) {
    throw noPlatform(name, platform, [config.platform])
  }
  if (!isHere) await store.blobs.put(bytes, what, digest)
  return config
}

function distinct(layers: readonly Descriptor[]): Descriptor[] {
  return [...new Map(layers.map((layer) => [layer.digest, layer])).values()]
}
