// Archives of `docker save` before version 25, `podman save` and skopeo's `docker-archive:`: a `manifest.json` that lists
// images, each with a config and layers as files (moby image/tarexport). They carry no digests of their own but those in
// the config, so each layer is checked against its `diff_id`, and an OCI manifest is made for it.

import { z } from 'zod'
import { checkSchema } from '../check-schema.ts'
import {
  type Digest,
  Digester,
  digestAlgorithm,
  digestOf,
  requireSameDigest,
  shortDigest,
} from '../digest.ts'
import { OciError, throwIfCancelled } from '../errors.ts'
import { parseImageConfig, requireMatchingLayers } from '../image-config.ts'
import { inParallel } from '../in-parallel.ts'
import { COMPRESSION_MAGIC_BYTES, detectCompression, type LayerCompression } from '../layer/compression.ts'
import { openLayer, readFileInPieces } from '../layer/open-layer.ts'
import { LayerTracker } from '../layer-tracker.ts'
import { LIMITS } from '../limits.ts'
import type { Descriptor } from '../manifest.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import { noPlatform, platformFits } from '../platform.ts'
import type { StoredBlob } from '../store/blob-files.ts'
import { parseStrictJson } from '../strict-json.ts'
import { type ArchiveContext, type ArchiveImage, type ImportedImage, usableNames } from './archive-image.ts'
import type { ArchiveMember, ReceivedArchive } from './received-archive.ts'

const imageSchema = z.object({
  Config: z.string(),
  RepoTags: z.array(z.string()).nullish(),
  Layers: z.array(z.string()).max(LIMITS.layers),
})

type ListedImage = z.infer<typeof imageSchema>

const LAYER_TYPES: Readonly<Record<LayerCompression, string>> = {
  none: MEDIA_TYPES.ociLayer,
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
}

/** An image whose layers are members of the archive. */
export interface MemberImage {
  /** How errors name it. */
  readonly name: string
  readonly config: Buffer
  /** Names of members, bottom first. */
  readonly layers: readonly string[]
}

/** The images that `manifest.json` lists. Throws `oci.bad-archive`, `oci.corrupt-image`. */
export async function dockerImages(archive: ReceivedArchive): Promise<ArchiveImage[]> {
  const what = 'manifest.json of the archive'
  const bytes = await archive.readAll(archive.require('manifest.json'), LIMITS.manifestBytes)
  const listed = checkSchema(
    z.array(imageSchema).max(LIMITS.indexEntries),
    parseStrictJson(bytes, what),
    what,
  )
  return listed.map((image) => ({
    names: usableNames(image.RepoTags ?? []),
    bring: async (context) => bringImage(await readListed(image, archive), archive, context),
  }))
}

async function readListed(image: ListedImage, archive: ReceivedArchive): Promise<MemberImage> {
  const config = await archive.readAll(archive.require(image.Config), LIMITS.configBytes)
  const digest = digestOf(config)
  requireNamedDigest(image.Config, digest)
  const name = image.RepoTags?.[0] ?? `image ${shortDigest(digest)} of the archive`
  return { name, config, layers: image.Layers }
}

/** Stores an image's config and layers, each checked against the config, and an OCI manifest for them. */
export async function bringImage(
  { name, config: configBytes, layers: layerNames }: MemberImage,
  archive: ReceivedArchive,
  context: ArchiveContext,
): Promise<ImportedImage> {
  const { store, hold, platform } = context
  const configDigest = digestOf(configBytes)
  const config = parseImageConfig(configBytes, `the config of ${name}`)
  requireMatchingLayers(config, layerNames.length, name)
  if (layerNames.length === 0) {
    throw new OciError(
      'oci.corrupt-image',
      `Cannot use ${name}: it has no layers, so there is nothing to run`,
    )
  }
  if (!platformFits(platform, config.platform)) throw noPlatform(name, platform, [config.platform])
  hold.add(configDigest)
  await store.blobs.put(configBytes, `the config of ${name}`)
  const layers = layerNames.flatMap((layer, position): MemberLayer[] => {
    const diffId = config.diffIds[position]
    return diffId === undefined
      ? []
      : [{ member: archive.require(layer), diffId, what: `layer ${position + 1} of ${name}` }]
  })
  const descriptors = await bringLayers(layers, archive, context)
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: configBytes.length },
    layers: descriptors,
  }
  const manifestBytes = Buffer.from(JSON.stringify(document))
  hold.add(digestOf(manifestBytes))
  const manifest = await store.blobs.put(manifestBytes, `the manifest of ${name}`)
  return { manifest: { mediaType: MEDIA_TYPES.ociManifest, ...manifest } }
}

/** A layer, and where the archive has it. */
interface MemberLayer {
  readonly member: ArchiveMember
  readonly diffId: Digest
  /** How errors name the layer. */
  readonly what: string
}

/** Moves the layers into the store, then unpacks them for the build, which checks them; several at a time. */
async function bringLayers(
  layers: readonly MemberLayer[],
  archive: ReceivedArchive,
  context: ArchiveContext,
): Promise<Descriptor[]> {
  const { signal, onProgress } = context
  const counted = layers.map(({ member, diffId }) => ({ digest: diffId, size: member.sizeBytes }))
  const tracker = new LayerTracker(counted, 'verify', (progress) => onProgress?.(progress))
  const descriptors: Descriptor[] = []
  for (const layer of layers) {
    descriptors.push(await storeLayer(layer, archive, context))
    tracker.brought({ digest: layer.diffId })
  }
  await inParallel([...layers.entries()], layers.length, signal, async ([position, layer], groupSignal) => {
    const digest = descriptors[position]?.digest
    if (digest !== undefined) await unpackLayer(layer, digest, { ...context, signal: groupSignal, tracker })
  })
  return descriptors
}

async function storeLayer(
  { member, diffId, what }: MemberLayer,
  archive: ReceivedArchive,
  { store, hold, signal }: ArchiveContext,
): Promise<Descriptor> {
  throwIfCancelled(signal, 'import the archive')
  const compression = detectCompression(await archive.readHead(member, COMPRESSION_MAGIC_BYTES), what)
  // Not compressed, the blob is what the diff id speaks of: it is verified by being stored.
  const digest = compression === 'none' ? diffId : member.digest
  const blob: StoredBlob = { digest, size: member.sizeBytes }
  // What is made of the layer is not to be swept either.
  hold.add(digest, diffId)
  await archive.moveTo(store.blobs, member, blob, what)
  return { mediaType: LAYER_TYPES[compression], ...blob }
}

/** Makes the layer's segment, which checks what is in it. Where there is one already, the layer is only hashed. */
async function unpackLayer(
  { diffId, what }: MemberLayer,
  digest: Digest,
  { store, signal, tracker }: ArchiveContext & { readonly tracker: LayerTracker },
): Promise<void> {
  const path = store.blobs.pathOf(digest)
  let isRead = false
  const source = () => {
    isRead = true
    return readFileInPieces(path)
  }
  const onProgress = (bytesRead: number) => tracker.unpacked({ digest: diffId }, bytesRead)
  await using _opened = await store.segments.ensure({ digest, diffId, name: what }, source, {
    signal,
    onProgress,
  })
  // Careful: a segment of this diff id proves nothing about this blob, and the manifest that we make vouches for it.
  if (!isRead && digest !== diffId) await requireDiffId(path, { diffId, what, signal })
  tracker.done({ digest: diffId })
}

/** Unpacks a compressed layer to hash what is in it. */
async function requireDiffId(
  path: string,
  { diffId, what, signal }: { diffId: Digest; what: string; signal: AbortSignal | undefined },
): Promise<void> {
  const digester = new Digester(digestAlgorithm(diffId))
  for await (const chunk of openLayer({ path, layerName: what, signal })) digester.update(chunk)
  requireSameDigest(what, diffId, digester.finish())
}

/** A config is mostly named by its digest: `<hex>.json`, or `blobs/sha256/<hex>`. */
function requireNamedDigest(member: string, actual: Digest): void {
  const hex = /(?:^|\/)([0-9a-f]{64})(?:\.json)?$/.exec(member)?.[1]
  if (hex === undefined || actual === `sha256:${hex}`) return
  throw new OciError('oci.digest-mismatch', `Cannot import the archive: ${member} hashes to ${actual}`, {
    data: { expected: `sha256:${hex}`, actual },
  })
}
