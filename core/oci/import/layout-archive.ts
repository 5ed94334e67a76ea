// Archives that hold blobs by digest: an OCI layout (image-spec image-layout.md: `oci-archive:` of skopeo, `docker save`
// since version 25, a layout folder in a tar file) and the `dir:` folder of skopeo.

import { type Digest, digestAlgorithm, digestHex, digestOf } from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { locateManifest } from '../locate-manifest.ts'
import { type Descriptor, type ImageIndex, parseDocument } from '../manifest.ts'
import { documentKind } from '../media-types.ts'
import { choosePlatform } from '../platform.ts'
import { parseStrictJson } from '../strict-json.ts'
import { type ImageSource, transferImage } from '../transfer.ts'
import { type ArchiveContext, type ArchiveImage, type ImportedImage, usableNames } from './archive-image.ts'
import type { ArchiveMember, ReceivedArchive } from './received-archive.ts'

const IMAGE_NAME = 'io.containerd.image.name'
const REF_NAME = 'org.opencontainers.image.ref.name'

/** The images of the OCI layout under `prefix` (empty, or a folder with its slash). Throws `oci.bad-archive`. */
export async function layoutImages(archive: ReceivedArchive, prefix: string): Promise<ArchiveImage[]> {
  const version = parseStrictJson(
    await archive.readAll(archive.require(`${prefix}oci-layout`), 1024),
    'oci-layout of the archive',
  )
  if (!isLayoutVersion1(version)) {
    throw new OciError(
      'oci.unsupported-media',
      'Cannot import the archive: it is not an OCI layout of version 1',
    )
  }
  const bytes = await archive.readAll(archive.require(`${prefix}index.json`), LIMITS.manifestBytes)
  const index = parseDocument(bytes, undefined, 'index.json of the archive')
  if (index.kind !== 'index') {
    throw new OciError('oci.bad-archive', 'Cannot import the archive: its index.json is not an index')
  }
  const pathOf = (digest: Digest) => `${prefix}blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`
  const source = memberSource(archive, pathOf)
  return groupEntries(index).map(({ names, entries }) => ({
    names,
    bring: (context) => bringEntry(chooseEntry(entries, index, context), source, context),
  }))
}

/** The one image of a skopeo `dir:` folder: `manifest.json` is the manifest, blobs are files named by their digits. */
export async function dirImages(archive: ReceivedArchive, prefix: string): Promise<ArchiveImage[]> {
  const bytes = await archive.readAll(archive.require(`${prefix}manifest.json`), LIMITS.manifestBytes)
  const document = parseDocument(bytes, undefined, 'manifest.json of the archive')
  const digest = digestOf(bytes)
  const source = memberSource(archive, (blob) =>
    blob === digest ? `${prefix}manifest.json` : blobOrManifest(archive, prefix, digestHex(blob)),
  )
  const descriptor = { mediaType: document.mediaType, digest, size: bytes.length }
  return [{ names: [], bring: (context) => bringEntry(descriptor, source, context) }]
}

/** skopeo puts the manifests of an index into `<digits>.manifest.json`. */
function blobOrManifest(archive: ReceivedArchive, prefix: string, hex: string): string {
  const manifest = `${prefix}${hex}.manifest.json`
  return archive.find(manifest) === undefined ? `${prefix}${hex}` : manifest
}

async function bringEntry(
  entry: Descriptor,
  source: ImageSource,
  context: ArchiveContext,
): Promise<ImportedImage> {
  const { hold, ...rest } = context
  const options = {
    ...rest,
    source,
    name: `image ${digestHex(entry.digest).slice(0, 12)} of the archive`,
    parallel: 1,
  } as const
  const located = await locateManifest(entry, options)
  await transferImage(located, hold, { ...options, phase: 'verify' })
  const { mediaType, digest, size } = located.descriptor
  return {
    manifest: { mediaType, digest, size },
    indexDigest: digest === entry.digest ? undefined : entry.digest,
  }
}

/** Entries that belong together: those of one digest (several names), and those without a name (several platforms). */
function groupEntries(index: ImageIndex): { names: string[]; entries: Descriptor[] }[] {
  const groups = new Map<string, { names: string[]; entries: Descriptor[] }>()
  const nameGroups = Map.groupBy(index.manifests, (entry) => nameOf(entry) ?? '')
  for (const [name, entries] of nameGroups) {
    const images = entries.filter(isImageEntry)
    if (images.length === 0) continue
    const key = images.map(({ digest }) => digest).join()
    const group = groups.get(key) ?? { names: [], entries: images }
    if (name !== '') group.names.push(name)
    groups.set(key, group)
  }
  return [...groups.values()].map(({ names, entries }) => ({ names: usableNames(names), entries }))
}

/** Signatures, attestations and other artifacts stand beside images in a layout. */
function isImageEntry({ mediaType, platform, artifactType }: Descriptor): boolean {
  return documentKind(mediaType) !== undefined && platform?.os !== 'unknown' && artifactType === undefined
}

function chooseEntry(
  entries: readonly Descriptor[],
  index: ImageIndex,
  { platform }: ArchiveContext,
): Descriptor {
  const [first] = entries
  if (first !== undefined && entries.length === 1) return first
  return choosePlatform({ ...index, manifests: entries }, platform, 'the archive')
}

/**
 * containerd's annotation is a full name. The OCI one may be a name or, as the specification has it, only a tag; a word
 * alone is read as a name, as podman does, but `latest` is nobody's name.
 */
function nameOf({ annotations }: Descriptor): string | undefined {
  const name = annotations?.[IMAGE_NAME] ?? annotations?.[REF_NAME]
  return name === 'latest' ? undefined : name
}

function memberSource(archive: ReceivedArchive, pathOf: (digest: Digest) => string): ImageSource {
  const find = (descriptor: Descriptor): ArchiveMember => {
    const member = archive.require(pathOf(descriptor.digest))
    if (member.sizeBytes === descriptor.size) return member
    throw new OciError(
      'oci.size-mismatch',
      `Cannot import the archive: ${descriptor.digest} has ${member.sizeBytes} bytes in it, not ${descriptor.size}`,
    )
  }
  return {
    movesLayers: true,
    readDocument: async (descriptor) => archive.readAll(find(descriptor), LIMITS.configBytes),
    bringLayer: (descriptor, what, { blobs }) => archive.moveTo(blobs, find(descriptor), descriptor, what),
  }
}

function isLayoutVersion1(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'imageLayoutVersion' in value &&
    typeof value.imageLayoutVersion === 'string' &&
    value.imageLayoutVersion.startsWith('1.')
  )
}
