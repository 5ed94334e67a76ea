// How much disk an image will take, as far as its manifest tells: so that a pull which cannot fit says so before it
// downloads, and not when the disk is full.

import type { Digest } from './digest.ts'
import type { Descriptor } from './manifest.ts'
import type { ImageStore } from './store/image-store.ts'

/** A layer of the image, and what the store has of it. */
export interface LayerInStore {
  readonly descriptor: Pick<Descriptor, 'digest' | 'mediaType' | 'size'>
  readonly diffId: Digest
  readonly isPresent: boolean
}

export interface NeededSpaceOptions {
  readonly store: ImageStore
  /** Of the manifest: names the root image. */
  readonly imageDigest: Digest
  /** Layers that are missing lie on the store's disk already, and are only moved. */
  readonly isMoved: boolean
}

/**
 * Bytes that are still to be written for an image: what is missing of its layers, their segments, and the root image. The
 * latter two are an estimate (`ImageFormat.bytesPerLayerByte`).
 */
export async function neededSpace(
  layers: readonly LayerInStore[],
  { store, imageDigest, isMoved }: NeededSpaceOptions,
): Promise<number> {
  const isBuilt = (await store.rootImages.find(imageDigest)) !== undefined
  let bytes = 0
  for (const { descriptor, diffId, isPresent } of layers) {
    const { digest, mediaType, size } = descriptor
    // What is in a plain tar takes no more than the tar.
    const unpackedBytes = size * (mediaType.endsWith('.tar') ? 1 : store.format.bytesPerLayerByte)
    const isUnpackedSoon = !isPresent || !isBuilt
    if (!isPresent && !isMoved) bytes += Math.max(0, size - (await store.blobs.partBytes(digest)))
    if (isUnpackedSoon && (await store.segments.stat(diffId)) === undefined) bytes += unpackedBytes
    if (!isBuilt) bytes += unpackedBytes
  }
  return Math.ceil(bytes)
}
