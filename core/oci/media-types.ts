// The media types of images: OCI (image-spec media-types.md) and Docker schema 2 (distribution
// docs/spec/manifest-v2-2.md), and what each of them is to us.

export const MEDIA_TYPES = {
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayer: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
} as const

/** What we ask a registry for, in the order of preference. */
export const ACCEPTED_MANIFESTS = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerIndex,
  MEDIA_TYPES.dockerManifest,
].join(', ')

/** Layers that a registry need not have itself (image-spec layer.md "Non-Distributable Layers", Docker's foreign ones). */
const FOREIGN_LAYERS: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.layer.nondistributable.v1.tar',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
  'application/vnd.docker.image.rootfs.foreign.diff.tar',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
])

/** Layers that may be read, whatever compression their name says: the bytes decide (magic numbers). */
const READABLE_LAYERS: ReadonlySet<string> = new Set([
  MEDIA_TYPES.ociLayer,
  MEDIA_TYPES.ociLayerGzip,
  MEDIA_TYPES.ociLayerZstd,
  'application/vnd.docker.image.rootfs.diff.tar',
  'application/vnd.docker.image.rootfs.diff.tar.gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd',
])

export type DocumentKind = 'index' | 'manifest'

/** Whether a media type names an index or a manifest; undefined for anything else. */
export function documentKind(mediaType: string): DocumentKind | undefined {
  if (mediaType === MEDIA_TYPES.ociIndex || mediaType === MEDIA_TYPES.dockerIndex) return 'index'
  if (mediaType === MEDIA_TYPES.ociManifest || mediaType === MEDIA_TYPES.dockerManifest) return 'manifest'
  return undefined
}

/** Whether a layer of this type is a tar archive. */
export function isReadableLayer(mediaType: string): boolean {
  return READABLE_LAYERS.has(mediaType) || isForeignLayer(mediaType)
}

/** Whether the layer's bytes may live elsewhere, where its descriptor's `urls` say. */
export function isForeignLayer(mediaType: string): boolean {
  return FOREIGN_LAYERS.has(mediaType)
}

/** Whether the config blob describes an image (and not a Helm chart, a signature, an artifact). */
export function isImageConfig(mediaType: string): boolean {
  return mediaType === MEDIA_TYPES.ociConfig || mediaType === MEDIA_TYPES.dockerConfig
}
