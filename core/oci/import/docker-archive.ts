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
import { COMPRESSION_MAGIC_BYTES, detectCompression, type LayerCompression } from '../layer/compression.ts'
import { openLayer } from '../layer/open-layer.ts'
import { LIMITS } from '../limits.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import { noPlatform, platformFits } from '../platform.ts'
import type { LayerProgress } from '../progress.ts'
import type { StoredBlob } from '../store/blob-store.ts'
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
  const members = layerNames.map((layer) => archive.require(layer))
  const progress = new LayersProgress(members, config.diffIds, context)
  const layers: { mediaType: string; digest: Digest; size: number }[] = []
  for (const [position, member] of members.entries()) {
    const diffId = config.diffIds[position]
    if (diffId === undefined) continue
    const what = `layer ${position + 1} of ${name}`
    progress.update(position, 'active')
    layers.push(await bringLayer({ member, diffId, what }, archive, context))
    progress.update(position, 'done')
  }
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: configDigest, size: configBytes.length },
    layers,
  }
  const manifestBytes = Buffer.from(JSON.stringify(document))
  hold.add(digestOf(manifestBytes))
  const manifest = await store.blobs.put(manifestBytes, `the manifest of ${name}`)
  return { manifest: { mediaType: MEDIA_TYPES.ociManifest, ...manifest } }
}

async function bringLayer(
  { member, diffId, what }: { member: ArchiveMember; diffId: Digest; what: string },
  archive: ReceivedArchive,
  { store, hold, signal }: ArchiveContext,
): Promise<{ mediaType: string; digest: Digest; size: number }> {
  throwIfCancelled(signal, 'import the archive')
  const compression = detectCompression(await archive.readHead(member, COMPRESSION_MAGIC_BYTES), what)
  // Not compressed, the blob is what the diff id speaks of: it is verified by being stored.
  const digest = compression === 'none' ? diffId : member.digest
  const blob: StoredBlob = { digest, size: member.sizeBytes }
  hold.add(digest)
  await archive.moveTo(store.blobs, member, blob, what)
  if (compression !== 'none') await requireDiffId(store.blobs.pathOf(digest), { diffId, what, signal })
  return { mediaType: LAYER_TYPES[compression], ...blob }
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

class LayersProgress {
  readonly #layers: LayerProgress[]
  readonly #totalBytes: number
  readonly #context: ArchiveContext

  constructor(members: readonly ArchiveMember[], diffIds: readonly Digest[], context: ArchiveContext) {
    this.#layers = members.map(({ sizeBytes }, position) => ({
      digest: diffIds[position] ?? '',
      bytesDone: 0,
      bytesTotal: sizeBytes,
      state: 'waiting',
    }))
    this.#totalBytes = members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    this.#context = context
  }

  update(position: number, state: 'active' | 'done'): void {
    const layer = this.#layers[position]
    if (layer === undefined) return
    this.#layers[position] = { ...layer, bytesDone: state === 'done' ? layer.bytesTotal : 0, state }
    this.#context.onProgress?.({
      phase: 'verify',
      bytesDone: this.#layers.reduce((sum, each) => sum + each.bytesDone, 0),
      bytesTotal: this.#totalBytes,
      layers: [...this.#layers],
    })
  }
}
