// Saves images of the store as one archive. Blobs are sent as they lie in the store and hashed on the way, so that a
// damaged one breaks the archive off and is never passed on as if it were whole.

import { createReadStream } from 'node:fs'
import { type Digest, Digester, digestAlgorithm, shortDigest } from '../digest.ts'
import { OciError, throwIfCancelled } from '../errors.ts'
import type { OnProgress } from '../progress.ts'
import { formatReference } from '../reference.ts'
import type { StoredBlob } from '../store/blob-files.ts'
import { namedBy } from '../store/find-image.ts'
import type { ImageStore, OpenedImage } from '../store/image-store.ts'
import { type ArchiveFormat, type ExportedImage, type PlannedMember, planArchive } from './archive-plan.ts'
import { TAR_END, tarHeader, tarPadding, tarSize } from './tar-writer.ts'

export interface ExportOptions {
  /** References or ids. An image that is asked for by its id has no name in the archive, as with docker. */
  readonly images: readonly string[]
  readonly format: ArchiveFormat
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

const CHUNK_BYTES = 256 * 1024

/**
 * Saves images as one archive, the same bytes each time: `send` is given them, and the blobs stay until it has resolved.
 * Returns their number, which is known before. Throws `oci.not-found`, `oci.ambiguous`, `oci.corrupt-store`, `oci.cancelled`.
 */
export async function exportImages(
  store: ImageStore,
  { images, format, signal, onProgress }: ExportOptions,
  send: (bytes: AsyncIterable<Buffer>) => Promise<void>,
): Promise<{ sizeBytes: number }> {
  const exported = await findImages(store, images)
  using hold = store.blobs.hold()
  for (const { descriptor, manifest } of exported)
    hold.add(descriptor.digest, manifest.config.digest, ...manifest.layers.map(({ digest }) => digest))
  await requireBlobs(store, exported)
  const members = planArchive(exported, format)
  const sizeBytes = tarSize(members.map(toTarMember))
  const report = (bytesDone: number) =>
    onProgress?.({ phase: 'send', bytesDone, bytesTotal: sizeBytes, layers: [] })
  report(0)
  await send(counted(archiveBytes(store, members), signal, report))
  return { sizeBytes }
}

/** Each image once, with all the names by which it was asked for. */
async function findImages(store: ImageStore, keys: readonly string[]): Promise<ExportedImage[]> {
  const found = new Map<Digest, ExportedImage>()
  for (const key of keys) {
    const image = await store.openImage(key)
    const name = namedBy(key, image.references)?.reference
    const names = new Map(found.get(image.digest)?.names.map((each) => [formatReference(each), each]))
    if (name !== undefined && name.digest === undefined) names.set(formatReference(name), name)
    found.set(image.digest, { ...toExported(image), names: [...names.values()] })
  }
  return [...found.values()]
}

function toExported({ references, manifest, config, digest }: OpenedImage): Omit<ExportedImage, 'names'> {
  const [first] = references
  if (first === undefined)
    throw new OciError('oci.not-found', `There is no image "${shortDigest(digest)}" on this host`)
  return { descriptor: first.manifest, manifest, config }
}

async function requireBlobs(store: ImageStore, images: readonly ExportedImage[]): Promise<void> {
  for (const { descriptor, manifest } of images) {
    for (const blob of [manifest.config, ...manifest.layers]) {
      if (await store.blobs.has(blob)) continue
      throw new OciError(
        'oci.corrupt-store',
        `Cannot export image ${shortDigest(descriptor.digest)}: its blob ${shortDigest(blob.digest)} is gone`,
        { hint: 'Remove the image and fetch it again.' },
      )
    }
  }
}

function toTarMember({ name, content }: PlannedMember): { name: string; sizeBytes: number } {
  return { name, sizeBytes: Buffer.isBuffer(content) ? content.length : content.size }
}

async function* archiveBytes(
  store: ImageStore,
  members: readonly PlannedMember[],
): AsyncGenerator<Buffer, void, void> {
  for (const member of members) {
    const header = tarHeader(toTarMember(member))
    if (Buffer.isBuffer(member.content)) {
      yield Buffer.concat([header, member.content, tarPadding(member.content.length)])
    } else {
      yield header
      yield* blobBytes(store, member.content)
      const padding = tarPadding(member.content.size)
      if (padding.length > 0) yield padding
    }
  }
  yield TAR_END
}

async function* blobBytes(
  store: ImageStore,
  { digest, size }: StoredBlob,
): AsyncGenerator<Buffer, void, void> {
  const digester = new Digester(digestAlgorithm(digest))
  let sizeBytes = 0
  for await (const chunk of createReadStream(store.blobs.pathOf(digest), { highWaterMark: CHUNK_BYTES })) {
    digester.update(chunk)
    sizeBytes += chunk.length
    // Never more than the header says: what follows would be read as the next member.
    if (sizeBytes > size) break
    yield chunk
  }
  if (sizeBytes === size && digester.finish() === digest) return
  throw new OciError('oci.corrupt-store', `Cannot export ${digest}: its file in the store has been changed`, {
    hint: 'Check the store, and fetch the image again.',
  })
}

async function* counted(
  bytes: AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
  report: (bytesDone: number) => void,
): AsyncGenerator<Buffer, void, void> {
  let bytesDone = 0
  for await (const chunk of bytes) {
    throwIfCancelled(signal, 'export images')
    yield chunk
    bytesDone += chunk.length
    report(bytesDone)
  }
}
