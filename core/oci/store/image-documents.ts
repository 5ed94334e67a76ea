// The documents of the images in the store, read once: what a digest names never changes.

import { type Digest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { type ImageConfig, parseImageConfig, requireMatchingLayers } from '../image-config.ts'
import { type ImageManifest, parseImageManifest } from '../manifest.ts'
import type { BlobStore } from './blob-store.ts'

export interface ImageDocuments {
  readonly manifest: ImageManifest
  readonly config: ImageConfig
}

export class DocumentReader {
  readonly #blobs: BlobStore
  readonly #known = new Map<Digest, ImageDocuments>()

  constructor(blobs: BlobStore) {
    this.#blobs = blobs
  }

  /** The manifest of an image and its config. Throws `oci.not-found`, `oci.corrupt-store`, `oci.corrupt-image`. */
  async read(digest: Digest, mediaType?: string): Promise<ImageDocuments> {
    const known = this.#known.get(digest)
    if (known !== undefined) return known
    const what = `image ${shortDigest(digest)}`
    const manifest = parseImageManifest(
      await this.#blobs.read(digest, `the manifest of ${what}`),
      mediaType,
      what,
    )
    const bytes = await this.#blobs.read(manifest.config.digest, `the config of ${what}`)
    const config = parseImageConfig(bytes, `the config of ${what}`)
    requireMatchingLayers(config, manifest.layers.length, what)
    const opened = { manifest, config }
    this.#known.set(digest, opened)
    return opened
  }

  /** Of all that a manifest needs: its blobs, and the diffIDs of its layers. */
  async reachableFrom(root: Digest): Promise<readonly Digest[]> {
    try {
      const { manifest, config } = await this.read(root)
      return [manifest.config.digest, ...manifest.layers.map(({ digest }) => digest), ...config.diffIds]
    } catch (error) {
      // A damaged image must not keep others from being removed; whoever opens it is told of the damage.
      if (error instanceof OciError) return []
      throw error
    }
  }

  /** What is not there any more is not to be found by memory. */
  forget(): void {
    this.#known.clear()
  }
}
