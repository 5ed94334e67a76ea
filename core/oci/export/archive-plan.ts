// What is in an archive of images, decided before the first byte is sent. Both kinds are an OCI layout
// (image-spec image-layout.md) with the blobs of the store as they are, so an image keeps its digests; docker-archive has
// `manifest.json` and `repositories` beside it, as `docker save` since version 25 does, for readers of either kind.

import { type Digest, digestAlgorithm, digestHex } from '../digest.ts'
import type { ImageConfig } from '../image-config.ts'
import type { ImageManifest, Platform } from '../manifest.ts'
import { MEDIA_TYPES } from '../media-types.ts'
import { familiarName, formatReference, type ImageReference } from '../reference.ts'
import type { StoredBlob } from '../store/blob-files.ts'

export type ArchiveFormat = 'oci-archive' | 'docker-archive'

export interface ExportedImage {
  readonly descriptor: { readonly mediaType: string; readonly digest: Digest; readonly size: number }
  readonly manifest: ImageManifest
  readonly config: ImageConfig
  /** Those that it has in the archive, all with a tag. */
  readonly names: readonly ImageReference[]
}

export interface PlannedMember {
  /** A folder's ends in a slash. */
  readonly name: string
  readonly content: Buffer | StoredBlob
}

/** The members of an archive, in order: what describes it first, then each blob once. */
export function planArchive(images: readonly ExportedImage[], format: ArchiveFormat): PlannedMember[] {
  const blobs = images.flatMap(({ descriptor, manifest }) => [
    descriptor,
    manifest.config,
    ...manifest.layers,
  ])
  const distinct = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()]
  const folders = [...new Set(distinct.map(({ digest }) => `blobs/${digestAlgorithm(digest)}/`))].sort()
  const isDocker = format === 'docker-archive'
  return [
    { name: 'oci-layout', content: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', content: json(layoutIndex(images, isDocker)) },
    ...(isDocker
      ? [
          { name: 'manifest.json', content: json(images.map(dockerEntry)) },
          { name: 'repositories', content: json(dockerRepositories(images)) },
        ]
      : []),
    ...['blobs/', ...folders].map((name) => ({ name, content: Buffer.alloc(0) })),
    ...distinct.map(({ digest, size }) => ({ name: blobPath(digest), content: { digest, size } })),
  ]
}

function layoutIndex(images: readonly ExportedImage[], isDocker: boolean): object {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: images.flatMap(({ descriptor: { mediaType, digest, size }, config, names }) => {
      const entry = { mediaType, digest, size, ...platformOf(config.platform) }
      if (names.length === 0) return [entry]
      return names.map((name) => ({ ...entry, annotations: annotationsOf(name, isDocker) }))
    }),
  }
}

/** containerd and docker look at the first, skopeo and podman at the second: there docker has the tag alone. */
function annotationsOf(name: ImageReference, isDocker: boolean): Record<string, string> {
  const full = formatReference(name)
  return {
    'io.containerd.image.name': full,
    'org.opencontainers.image.ref.name': isDocker ? (name.tag ?? full) : full,
  }
}

function platformOf({ os, architecture, variant }: Platform): object {
  // Some builders leave it out of the config; then there is nothing to say.
  if (architecture === '') return {}
  return { platform: { architecture, os, ...(variant === undefined ? {} : { variant }) } }
}

/**
 * An entry of docker's `manifest.json` (moby image/tarexport). Names are whole, as podman and skopeo write them: docker
 * reads either form, and podman takes a short one for a name of its own ("localhost/web").
 */
function dockerEntry({ manifest, names }: ExportedImage): object {
  return {
    Config: blobPath(manifest.config.digest),
    RepoTags: names.length === 0 ? null : names.map(formatReference),
    Layers: manifest.layers.map(({ digest }) => blobPath(digest)),
  }
}

/** docker's `repositories`: for each name its tags, and the last layer of each. */
function dockerRepositories(images: readonly ExportedImage[]): object {
  const tagged = images.flatMap(({ manifest, names }) => {
    const top = manifest.layers.at(-1)
    return names.map((name) => ({ name, layer: top === undefined ? '' : digestHex(top.digest) }))
  })
  const repositories = Map.groupBy(tagged, ({ name }) => familiarName(name))
  return Object.fromEntries(
    [...repositories].map(([repository, entries]) => [
      repository,
      Object.fromEntries(entries.map(({ name, layer }) => [name.tag, layer])),
    ]),
  )
}

function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
