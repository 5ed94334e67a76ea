// Looks whether the store is what it should be: every blob hashes to its name, every image has all its parts, what was
// made of them fits, and nothing lies there that does not belong. With `repair`, what is damaged goes, and with it the
// names that lead to it, so that the next pull fetches it anew; what others put there is only told about.

import { type Digest, digestAlgorithm, shortDigest } from '../digest.ts'
import { OciError, throwIfCancelled } from '../errors.ts'
import { parseImageConfig, requireMatchingLayers } from '../image-config.ts'
import { LIMITS } from '../limits.ts'
import { type ImageManifest, parseImageManifest } from '../manifest.ts'
import type { OnProgress } from '../progress.ts'
import { parseReference } from '../reference.ts'
import type { LayerSegments } from '../segments/layer-segments.ts'
import type { StoredBlob } from './blob-files.ts'
import type { HeldDuringSweep } from './blob-hold.ts'
import type { BlobStore } from './blob-store.ts'
import type { LayoutIndex, StoredReference } from './layout-index.ts'
import type { RootImages } from './root-images.ts'

export interface CheckOptions {
  readonly repair?: boolean | undefined
  /** Manifests of which guests exist: their root images are left alone. */
  readonly inUse?: readonly Digest[] | undefined
  readonly signal?: AbortSignal | undefined
  /** Told the bytes of blobs that have been read. */
  readonly onProgress?: OnProgress | undefined
}

export interface StoreProblem {
  /** What is damaged: a digest, a reference or a file of the store. */
  readonly subject: string
  /** One sentence. */
  readonly problem: string
  readonly repaired: boolean
}

export interface StoreReport {
  readonly blobs: number
  readonly bytes: number
  readonly images: number
  readonly problems: readonly StoreProblem[]
}

export interface StoreParts {
  readonly index: LayoutIndex
  readonly blobs: BlobStore
  readonly rootImages: RootImages
  readonly segments: LayerSegments
}

/** Checks the store. Nobody else may remove anything meanwhile. Throws `oci.cancelled`. */
export async function checkStore(parts: StoreParts, options: CheckOptions): Promise<StoreReport> {
  using held = parts.blobs.holds.startSweep()
  return new StoreCheck(parts, options, held).run()
}

class StoreCheck {
  readonly #parts: StoreParts
  readonly #options: CheckOptions
  readonly #held: HeldDuringSweep
  readonly #problems: StoreProblem[] = []
  /** Blobs that are what their names say, with their sizes. */
  readonly #sound = new Map<Digest, number>()

  constructor(parts: StoreParts, options: CheckOptions, held: HeldDuringSweep) {
    this.#parts = parts
    this.#options = options
    this.#held = held
  }

  async run(): Promise<StoreReport> {
    const { blobs, bytes } = await this.#checkBlobs()
    const images = await this.#checkIndex()
    await this.#checkRootImages()
    await this.#checkSegments()
    return { blobs, bytes, images, problems: this.#problems }
  }

  async #checkBlobs(): Promise<{ blobs: number; bytes: number }> {
    const { blobs } = this.#parts
    const { signal, onProgress } = this.#options
    const all = await Array.fromAsync(blobs.list())
    const bytes = all.reduce((sum, { size }) => sum + size, 0)
    let bytesDone = 0
    for (const blob of all) {
      throwIfCancelled(signal, 'check the store')
      await this.#checkBlob(blob)
      bytesDone += blob.size
      onProgress?.({ phase: 'verify', bytesDone, bytesTotal: bytes, layers: [] })
    }
    for (const name of await blobs.strangers()) await this.#note(name, 'It does not belong to the store.')
    return { blobs: all.length, bytes }
  }

  async #checkBlob({ digest, size }: StoredBlob): Promise<void> {
    const { blobs } = this.#parts
    const actual = await blobs.digestNow(digest, this.#options.signal)
    // Removed meanwhile.
    if (actual === undefined) return
    if (actual === digest) {
      this.#sound.set(digest, size)
      return
    }
    if (this.#held.has(digest))
      return this.#note(digest, 'Its content is damaged, and it is being used just now.')
    await this.#note(digest, 'Its content is damaged.', () => blobs.remove(digest))
  }

  async #checkIndex(): Promise<number> {
    const { index } = this.#parts
    if (await index.isDamaged()) {
      if (this.#options.repair !== true) {
        await this.#note(
          'index.json',
          'The list of images is damaged; repairing restores it from its copy, or from the blobs.',
        )
        return 0
      }
      const from = await index.restore(() => this.#recoverReferences())
      this.#problems.push({
        subject: 'index.json',
        problem:
          from === 'copy'
            ? 'The list of images was damaged and was restored from its copy; what other tools changed since is lost.'
            : 'The list of images was damaged, and its copy too: the images were found again, their names are lost.',
        repaired: true,
      })
    }
    const stored = await index.list()
    for (const reference of stored) await this.#checkReference(reference)
    for (const digest of await index.foreignDigests()) {
      if (!this.#sound.has(digest))
        await this.#note(digest, 'An entry of another tool leads to it, but it is not there.')
    }
    return new Set(stored.map(({ manifest }) => manifest.digest)).size
  }

  async #checkReference({ name, manifest }: StoredReference): Promise<void> {
    const problem = await this.#problemOf(manifest.digest, manifest.mediaType)
    if (problem !== undefined)
      await this.#note(name, problem, () => this.#parts.index.delete(new Set([name])))
  }

  /** What is wrong with an image; undefined when it has all its parts. */
  async #problemOf(digest: Digest, mediaType: string | undefined): Promise<string | undefined> {
    if (!this.#sound.has(digest)) return 'Its manifest is missing.'
    let manifest: ImageManifest
    try {
      manifest = await this.#readManifest(digest, mediaType)
    } catch (error) {
      if (error instanceof OciError) return `It cannot be used: ${error.message}.`
      throw error
    }
    const missing = manifest.layers.findIndex((layer) => this.#sound.get(layer.digest) !== layer.size)
    return missing === -1 ? undefined : `Its layer ${missing + 1} is missing.`
  }

  /** A manifest whose config fits it. */
  async #readManifest(digest: Digest, mediaType: string | undefined): Promise<ImageManifest> {
    const { blobs } = this.#parts
    const what = `image ${shortDigest(digest)}`
    const manifest = parseImageManifest(await blobs.read(digest, `the manifest of ${what}`), mediaType, what)
    const config = parseImageConfig(
      await blobs.read(manifest.config.digest, `the config of ${what}`),
      `the config of ${what}`,
    )
    requireMatchingLayers(config, manifest.layers.length, what)
    return manifest
  }

  /** Every whole image that is among the blobs, under a name that says where it comes from. */
  async #recoverReferences(): Promise<Omit<StoredReference, 'name'>[]> {
    const found: Omit<StoredReference, 'name'>[] = []
    for (const [digest, size] of this.#sound) {
      if (size > LIMITS.manifestBytes || (await this.#problemOf(digest, undefined)) !== undefined) continue
      const { mediaType } = await this.#readManifest(digest, undefined)
      found.push({
        reference: parseReference(`recovered@${digest}`),
        manifest: { mediaType, digest, size },
        storedAt: new Date().toISOString(),
      })
    }
    return found
  }

  async #checkRootImages(): Promise<void> {
    const { rootImages } = this.#parts
    const inUse = new Set(this.#options.inUse)
    for (const { names, record, isSound } of await rootImages.list()) {
      if (isSound) continue
      const subject = `images/${names[0] ?? ''}`
      const problem = 'The root image and its record do not fit each other, or one is missing.'
      if (record === undefined || !inUse.has(record.imageDigest))
        await this.#note(subject, problem, () => rootImages.remove(names))
      else await this.#note(subject, `${problem} A guest uses it.`)
    }
    for (const name of await rootImages.strangers())
      await this.#note(`images/${name}`, 'It does not belong to the store.')
  }

  async #checkSegments(): Promise<void> {
    const { segments } = this.#parts
    for (const { diffId } of await segments.list()) {
      // Segments of another format are swept with the next removal.
      if (diffId === undefined || (await segments.isSound(diffId))) continue
      await this.#note(
        `${digestAlgorithm(diffId)} segment ${shortDigest(diffId)}`,
        'A prepared layer is damaged.',
        async () => {
          await segments.sweep((other) => other !== diffId)
        },
      )
    }
  }

  /** Notes a problem and repairs it, where that was asked for and can be done. */
  async #note(subject: string, problem: string, repair?: () => Promise<void>): Promise<void> {
    const repaired = repair !== undefined && this.#options.repair === true
    if (repaired) await repair()
    this.#problems.push({ subject, problem, repaired })
  }
}
