// Indexes and manifests, OCI (image-spec manifest.md, image-index.md) and Docker schema 2, checked once on entry.
// A document is what its media type says and nothing else: one that could be read as both kinds is refused
// (CVE-2021-41190).

import { z } from 'zod'
import { checkSchema } from './check-schema.ts'
import { type Digest, isDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { type DocumentKind, documentKind, isImageConfig, isReadableLayer } from './media-types.ts'
import { parseStrictJson } from './strict-json.ts'

const annotationsSchema = z.record(z.string(), z.string())

const platformSchema = z.object({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  'os.version': z.string().optional(),
})

const descriptorSchema = z.object({
  mediaType: z.string().min(1).max(255),
  digest: z.string().refine(isDigest, 'is not a sha256 or sha512 digest'),
  size: z.int().nonnegative(),
  urls: z.array(z.string()).nullish(),
  annotations: annotationsSchema.nullish(),
  platform: platformSchema.nullish(),
  artifactType: z.string().optional(),
  data: z.string().nullish(),
})

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema).max(LIMITS.layers),
  annotations: annotationsSchema.nullish(),
})

const indexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(descriptorSchema).max(LIMITS.indexEntries),
  annotations: annotationsSchema.nullish(),
})

export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string | undefined
}

/** A pointer to content: its type, digest and exact size in bytes. */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly platform?: Platform | undefined
  readonly artifactType?: string | undefined
  /** Where the content is to be had beside the registry (non-distributable layers). */
  readonly urls?: readonly string[] | undefined
  /** The content itself in base64 (embedded-content.ts). */
  readonly data?: string | undefined
}

export interface ImageManifest {
  readonly kind: 'manifest'
  readonly mediaType: string
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

export interface ImageIndex {
  readonly kind: 'index'
  readonly mediaType: string
  readonly manifests: readonly Descriptor[]
  readonly annotations: Readonly<Record<string, string>>
}

/**
 * Parses an index or a manifest. `mediaType` is what the transport said (Content-Type, or the descriptor that led
 * here); undefined where nothing did (an OCI layout's index.json). `what` names the document in errors.
 * Throws `oci.corrupt-image`, `oci.unsupported-media`, `oci.limit`.
 */
export function parseDocument(
  bytes: Uint8Array,
  mediaType: string | undefined,
  what: string,
): ImageManifest | ImageIndex {
  if (bytes.length > LIMITS.manifestBytes) {
    throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${LIMITS.manifestBytes} bytes`, {
      data: { which: 'manifestBytes' },
    })
  }
  const value = parseStrictJson(bytes, what)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw corrupt(what, 'it is not an object')
  const kind = decideKind(value, mediaType, what)
  const type = String(mediaType ?? ('mediaType' in value ? value.mediaType : undefined) ?? DEFAULT_TYPE[kind])
  return kind === 'index' ? toIndex(value, type, what) : toManifest(value, type, what)
}

/** Parses a document that has to be an image manifest, and checks that a guest can be made of it. */
export function parseImageManifest(
  bytes: Uint8Array,
  mediaType: string | undefined,
  what: string,
): ImageManifest {
  const document = parseDocument(bytes, mediaType, what)
  if (document.kind !== 'manifest') throw corrupt(what, 'it is an index where a manifest belongs')
  requireRunnable(document, what)
  return document
}

const DEFAULT_TYPE: Readonly<Record<DocumentKind, string>> = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
}

function decideKind(value: object, transportType: string | undefined, what: string): DocumentKind {
  const inner = 'mediaType' in value && value.mediaType !== '' ? value.mediaType : undefined
  if (inner !== undefined && transportType !== undefined && inner !== transportType) {
    throw corrupt(what, `it was delivered as "${transportType}" but calls itself "${String(inner)}"`)
  }
  if ('schemaVersion' in value && value.schemaVersion === 1) {
    throw new OciError(
      'oci.unsupported-media',
      `Cannot read ${what}: Docker schema 1 images are not supported`,
      {
        hint: 'Ask for the image to be pushed again with a tool of this decade.',
      },
    )
  }
  const hasManifests = 'manifests' in value
  const hasLayers = 'layers' in value || 'config' in value || 'fsLayers' in value
  if (hasManifests && hasLayers) throw corrupt(what, 'it could be read both as an index and as a manifest')
  const type = transportType ?? (typeof inner === 'string' ? inner : undefined)
  const shape: DocumentKind = hasManifests ? 'index' : 'manifest'
  if (type === undefined) return shape
  const kind = documentKind(type)
  if (kind === undefined) {
    throw new OciError('oci.unsupported-media', `Cannot read ${what}: "${type}" is not a type of image`, {
      data: { mediaType: type },
    })
  }
  if (kind !== shape) throw corrupt(what, `its type "${type}" does not fit its content`)
  return kind
}

function toManifest(value: object, mediaType: string, what: string): ImageManifest {
  const parsed = checkSchema(manifestSchema, value, what)
  return {
    kind: 'manifest',
    mediaType,
    config: toDescriptor(parsed.config),
    layers: parsed.layers.map(toDescriptor),
    annotations: parsed.annotations ?? {},
  }
}

function toIndex(value: object, mediaType: string, what: string): ImageIndex {
  const parsed = checkSchema(indexSchema, value, what)
  return {
    kind: 'index',
    mediaType,
    manifests: parsed.manifests.map(toDescriptor),
    annotations: parsed.annotations ?? {},
  }
}

function toDescriptor(parsed: z.infer<typeof descriptorSchema>): Descriptor {
  return {
    mediaType: parsed.mediaType,
    digest: parsed.digest,
    size: parsed.size,
    annotations: parsed.annotations ?? undefined,
    platform: parsed.platform ?? undefined,
    artifactType: parsed.artifactType,
    urls: parsed.urls ?? undefined,
    data: parsed.data ?? undefined,
  }
}

function requireRunnable(manifest: ImageManifest, what: string): void {
  if (!isImageConfig(manifest.config.mediaType)) {
    throw new OciError(
      'oci.unsupported-media',
      `Cannot use ${what}: it is not an image but "${manifest.config.mediaType}"`,
      {
        data: { mediaType: manifest.config.mediaType },
      },
    )
  }
  if (manifest.layers.length === 0) throw corrupt(what, 'it has no layers, so there is nothing to run')
  for (const [position, layer] of manifest.layers.entries()) {
    if (isReadableLayer(layer.mediaType)) continue
    throw new OciError(
      'oci.unsupported-media',
      `Cannot use ${what}: layer ${position + 1} ("${layer.mediaType}") is of a type that is not supported`,
      {
        data: { mediaType: layer.mediaType },
      },
    )
  }
}

function corrupt(what: string, reason: string): OciError {
  return new OciError('oci.corrupt-image', `Cannot read ${what}: ${reason}`)
}
