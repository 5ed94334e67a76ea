// Imports an image archive of any kind from a stream of bytes. What kind it is, its content says, not its name.

import { shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { Platform } from '../manifest.ts'
import { machinePlatform } from '../platform.ts'
import type { OnProgress } from '../progress.ts'
import { familiarReference, formatReference, type ImageReference, parseReference } from '../reference.ts'
import type { ImageStore } from '../store/image-store.ts'
import { parseStrictJson } from '../strict-json.ts'
import type { ArchiveImage, ImportedImage } from './archive-image.ts'
import { dockerImages } from './docker-archive.ts'
import { dirImages, layoutImages } from './layout-archive.ts'
import { legacyImages } from './legacy-archive.ts'
import { receiveArchive } from './receive-archive.ts'
import type { ReceivedArchive } from './received-archive.ts'

export interface ImportOptions {
  /** The reference to give to the image, instead of the archive's own. */
  readonly name?: string | undefined
  /** Bytes that will come, for progress, where known. */
  readonly sizeBytes?: number | undefined
  readonly platform?: Platform | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

/**
 * Imports every image of an archive and returns their full references. An image that has no name gets
 * `imported:<first digits of its digest>`; with `name`, the archive must hold one image, or one of that name.
 * Throws `oci.bad-archive`, `oci.ambiguous`, and what the image itself does wrong.
 */
export async function importArchive(
  bytes: AsyncIterable<Uint8Array>,
  store: ImageStore,
  { name, sizeBytes = 0, platform = machinePlatform(), signal, onProgress }: ImportOptions = {},
): Promise<string[]> {
  const wanted = name === undefined ? undefined : parseImportName(name)
  const onReceived = (bytesDone: number) =>
    onProgress?.({ phase: 'receive', bytesDone, bytesTotal: Math.max(sizeBytes, bytesDone), layers: [] })
  await using archive = await receiveArchive(bytes, store.blobs, { signal, onReceived })
  const images = await listImages(archive)
  using hold = store.blobs.hold()
  const brought: { reference: ImageReference; image: ImportedImage }[] = []
  for (const each of wanted === undefined ? images : [pick(images, wanted)]) {
    // What is reported of the next image begins at nothing again.
    if (brought.length > 0) onProgress?.({ phase: 'resolve', bytesDone: 0, bytesTotal: 0, layers: [] })
    const image = await each.bring({ store, platform, hold, signal, onProgress })
    const fallback = `imported:${shortDigest(image.manifest.digest)}`
    const names = each.names.length === 0 ? [fallback] : each.names
    for (const reference of wanted === undefined ? names.map(parseReference) : [wanted])
      brought.push({ reference, image })
  }
  // Names last, when all of them have what they lead to: an archive that is refused half-way leaves none.
  for (const { reference, image } of brought)
    await store.setReference(reference, image.manifest, { indexDigest: image.indexDigest })
  return brought.map(({ reference }) => formatReference(reference))
}

async function listImages(archive: ReceivedArchive): Promise<ArchiveImage[]> {
  const images = await readImages(archive)
  if (images.length > 0) return images
  throw new OciError('oci.bad-archive', 'Cannot import the archive: it holds no image')
}

async function readImages(archive: ReceivedArchive): Promise<ArchiveImage[]> {
  // `docker save` since version 25 writes both kinds; the layout has the digests.
  const layout = prefixOf(archive, 'oci-layout')
  if (layout !== undefined) return layoutImages(archive, layout)
  const folder = prefixOf(archive, 'manifest.json')
  if (folder !== undefined) {
    const manifest = archive.require(`${folder}manifest.json`)
    const document = parseStrictJson(
      await archive.readAll(manifest, LIMITS.manifestBytes),
      'manifest.json of the archive',
    )
    if (!Array.isArray(document)) return dirImages(archive, folder)
    if (folder === '') return dockerImages(archive)
  }
  if (archive.find('repositories') !== undefined) return legacyImages(archive)
  throw new OciError(
    'oci.bad-archive',
    'Cannot import the archive: it has neither an OCI layout nor a manifest.json',
    {
      hint: 'A file system in a tar file ("docker export") is no image; use "docker save" or "skopeo copy … oci-archive:FILE".',
    },
  )
}

/** The folder in which a file of this name stands: the root, or the one folder that was packed. */
function prefixOf(archive: ReceivedArchive, name: string): string | undefined {
  if (archive.find(name) !== undefined) return ''
  for (const member of archive.names) {
    const [folder, file, ...rest] = member.split('/')
    if (file === name && rest.length === 0) return `${folder}/`
  }
  return undefined
}

function pick(images: readonly ArchiveImage[], wanted: ImageReference): ArchiveImage {
  const [only] = images
  if (only !== undefined && images.length === 1) return only
  const name = formatReference(wanted)
  const named = images.find(({ names }) =>
    names.some((each) => formatReference(parseReference(each)) === name),
  )
  if (named !== undefined) return named
  const shown = images.flatMap(({ names }) => names.map((each) => familiarReference(parseReference(each))))
  throw new OciError(
    'oci.ambiguous',
    `Cannot import the archive as "${familiarReference(wanted)}": it holds ${images.length} images`,
    {
      hint: `Import it without a name; its images are ${shown.join(', ') || 'without names'}.`,
      data: { candidates: shown },
    },
  )
}

function parseImportName(name: string): ImageReference {
  const reference = parseReference(name)
  if (reference.digest === undefined) return reference
  throw new OciError(
    'oci.bad-reference',
    `Cannot import under the name "${name}": a name for an import has no digest`,
  )
}
