// The images of this host: references, their blobs in an OCI layout, and the root images made of them. Finds images the
// way people name them, and sweeps what no reference leads to any more.

import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { type Digest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { type ImageConfig, parseImageConfig, requireMatchingLayers } from '../image-config.ts'
import { type ImageManifest, parseImageManifest } from '../manifest.ts'
import { familiarReference, formatReference, type ImageReference, parseReference } from '../reference.ts'
import { LayerSegments } from '../segments/layer-segments.ts'
import type { ImageFormat } from '../writers/image-format.ts'
import { squashfsFormat } from '../writers/squashfs/squashfs-format.ts'
import { BlobStore } from './blob-store.ts'
import { type CheckOptions, checkStore, type StoreParts, type StoreReport } from './check-store.ts'
import { digestMatcher, imageOf, namedBy, notFound, type StoredImage } from './find-image.ts'
import { LayoutIndex, type StoredReference } from './layout-index.ts'
import { RootImages } from './root-images.ts'
import { lockStore } from './store-lock.ts'
import { type PruneOptions, type PruneResult, type SweepStoreOptions, sweepStore } from './sweep-store.ts'

/** An image with its documents read. */
export interface OpenedImage extends StoredImage {
  readonly manifest: ImageManifest
  readonly config: ImageConfig
}

export interface RemoveOptions {
  /** Also remove an image that several references lead to, or that guests were made of. */
  readonly force?: boolean | undefined
  /** Manifests of which guests exist: their blobs and root images stay. */
  readonly inUse?: readonly Digest[] | undefined
}

export interface RemoveResult {
  readonly untagged: readonly string[]
  readonly deleted: readonly Digest[]
  readonly freedBytes: number
}

/** How long closing waits for the disk; who opens the store next waits longer (store-lock.ts). */
const CLOSE_PATIENCE_MS = 3_000

export class ImageStore implements AsyncDisposable {
  readonly blobs: BlobStore
  readonly rootImages: RootImages
  readonly segments: LayerSegments
  /** How root images are made. */
  readonly format: ImageFormat
  readonly #index: LayoutIndex
  readonly #parts: StoreParts
  readonly #lock: Disposable
  #lastChange: Promise<unknown> = Promise.resolve()
  /** Documents never change, so what was read once is known. */
  readonly #opened = new Map<Digest, { manifest: ImageManifest; config: ImageConfig }>()

  private constructor(parts: StoreParts, { format, lock }: { format: ImageFormat; lock: Disposable }) {
    this.blobs = parts.blobs
    this.rootImages = parts.rootImages
    this.segments = parts.segments
    this.format = format
    this.#index = parts.index
    this.#parts = parts
    this.#lock = lock
  }

  /**
   * Opens `store/` and `images/` under `root`, creating them where they are missing, for this process alone.
   * `format` is how root images are made, `log` is told what could not be kept. Throws `oci.in-use`, `oci.corrupt-store`.
   */
  static async open(
    root: string,
    format: ImageFormat = squashfsFormat(),
    log?: (message: string) => void,
  ): Promise<ImageStore> {
    const folder = path.join(root, 'store')
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const lock = lockStore(folder)
    try {
      const index = await LayoutIndex.open(folder)
      const blobs = await BlobStore.open(folder)
      const rootImages = await RootImages.open(path.join(root, 'images'), format)
      const segments = await LayerSegments.open({ folder: path.join(folder, 'layers'), format, log })
      return new ImageStore({ index, blobs, rootImages, segments }, { format, lock })
    } catch (error) {
      lock[Symbol.dispose]()
      throw error
    }
  }

  /**
   * Gives the store free for another process when new segments have got their places, after some seconds at most: those
   * that have not are made again.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    using _lock = this.#lock
    const settled = new AbortController()
    const patience = setTimeout(CLOSE_PATIENCE_MS, undefined, { signal: settled.signal }).catch(() => {})
    await Promise.race([this.segments[Symbol.asyncDispose](), patience])
    settled.abort()
  }

  /** All references, in the order they were stored. */
  async list(): Promise<StoredReference[]> {
    return this.#index.list()
  }

  /**
   * Finds an image by a name, a digest (of the manifest, of the index it came from, or of the config) or the first
   * digits of one. Throws `oci.not-found`, `oci.ambiguous`, `oci.bad-reference`.
   */
  async resolve(text: string): Promise<StoredImage> {
    const stored = await this.#index.list()
    const byName = namedBy(text, stored)
    if (byName !== undefined) return imageOf(byName.manifest.digest, stored)
    const digests = await this.#matchingDigests(text, stored)
    const [digest, ...others] = digests
    if (digest === undefined) throw notFound(text)
    if (others.length > 0) {
      throw new OciError(
        'oci.ambiguous',
        `Cannot tell which image "${text}" means: ${digests.length} ids begin with it`,
        {
          hint: `Give more digits: ${digests.map(shortDigest).join(', ')}.`,
          data: { candidates: digests },
        },
      )
    }
    return imageOf(digest, stored)
  }

  /** Finds an image and reads its manifest and config. */
  async openImage(text: string): Promise<OpenedImage> {
    const image = await this.resolve(text)
    return { ...image, ...(await this.#open(image.digest, image.mediaType)) }
  }

  /** The documents of a manifest in the store. */
  async openReference(stored: StoredReference): Promise<{ manifest: ImageManifest; config: ImageConfig }> {
    return this.#open(stored.manifest.digest, stored.manifest.mediaType)
  }

  /** The image that this name led to in the registry when it was fetched, if it is here. */
  async findReference(reference: ImageReference): Promise<StoredReference | undefined> {
    const name = formatReference(reference)
    return (await this.#index.list()).find((stored) => stored.name === name)
  }

  /** Makes a reference lead to a manifest whose blobs are all in the store. */
  async setReference(
    reference: ImageReference,
    manifest: StoredReference['manifest'],
    origin: { indexDigest?: Digest | undefined } = {},
  ): Promise<void> {
    const storedAt = new Date().toISOString()
    await this.#index.set({ reference, manifest, indexDigest: origin.indexDigest, storedAt })
  }

  /** Gives an image one more name. */
  async tag(source: string, name: string): Promise<string> {
    const reference = parseReference(name)
    if (reference.digest !== undefined) {
      throw new OciError(
        'oci.bad-reference',
        `Cannot name an image "${name}": a new name has a tag and no digest`,
      )
    }
    return this.#exclusively(async () => {
      const image = await this.resolve(source)
      const [first] = image.references
      if (first === undefined) throw notFound(source)
      await this.setReference(reference, first.manifest, { indexDigest: first.indexDigest })
      return formatReference(reference)
    })
  }

  /**
   * Removes a reference, and with the last one the image. An id removes the image with its reference; with several
   * references only by `force`. Throws `oci.not-found`, `oci.ambiguous`, `oci.in-use`.
   */
  async remove(text: string, options: RemoveOptions = {}): Promise<RemoveResult> {
    return this.#exclusively(() => this.#remove(text, options))
  }

  /**
   * Removes blobs, root images and segments that no reference leads to, except those of manifests `inUse` and of work
   * under way. Returns the bytes that became free.
   */
  async sweep(inUse: readonly Digest[] = []): Promise<number> {
    return this.#exclusively(async () => (await this.#sweep({ inUse })).freedBytes)
  }

  /**
   * Removes images that nobody needs, what they leave, and what broken-off downloads left. A dry run tells exactly what
   * the same call would do now.
   */
  async prune({
    all = false,
    derived = false,
    dryRun = false,
    inUse = [],
  }: PruneOptions): Promise<PruneResult> {
    const hasNoTag = (references: readonly StoredReference[]) =>
      references.every(({ reference }) => reference.tag === undefined)
    const goes = all ? () => true : hasNoTag
    return this.#exclusively(() => this.#sweep({ inUse, goes, derived, dryRun, leftovers: true }))
  }

  /** Checks everything in the store, and repairs it where that is asked for. Throws `oci.cancelled`. */
  async check(options: CheckOptions): Promise<StoreReport> {
    return this.#exclusively(async () => {
      try {
        return await checkStore(this.#parts, options)
      } finally {
        this.#opened.clear()
      }
    })
  }

  async #remove(text: string, { force = false, inUse = [] }: RemoveOptions): Promise<RemoveResult> {
    const image = await this.resolve(text)
    const named = namedBy(text, image.references)
    const names = (named === undefined || isLast(image) ? image.references : [named]).map(({ name }) => name)
    const shown =
      named === undefined ? `image ${shortDigest(image.digest)}` : familiarReference(named.reference)
    if (named === undefined && names.length > 1 && !force) {
      throw new OciError('oci.ambiguous', `Cannot remove ${shown}: ${names.length} names lead to it`, {
        hint: `Remove the names one by one (${names.join(', ')}), or force it.`,
        data: { candidates: names },
      })
    }
    const isWhole = names.length === image.references.length
    if (isWhole && inUse.includes(image.digest) && !force) {
      throw new OciError('oci.in-use', `Cannot remove ${shown}: guests were made of it`, {
        hint: 'Remove these guests first, or force it.',
      })
    }
    await this.#index.delete(new Set(names))
    const freedBytes = isWhole ? (await this.#sweep({ inUse })).freedBytes : 0
    return { untagged: names, deleted: isWhole ? [image.digest] : [], freedBytes }
  }

  async #sweep(options: Partial<SweepStoreOptions>): Promise<PruneResult> {
    const result = await sweepStore(this.#parts, {
      reachableFrom: (manifest) => this.#reachableFrom(manifest),
      inUse: [],
      goes: () => false,
      derived: false,
      leftovers: false,
      dryRun: false,
      ...options,
    })
    // What is not there any more is not to be found by memory.
    if (options.dryRun !== true) this.#opened.clear()
    return result
  }

  /** One at a time of what changes names or removes; pulls and imports need not wait, they hold what they bring. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lastChange.then(work)
    this.#lastChange = result.catch(() => {})
    return result
  }

  /** Of all that a manifest needs: its blobs, and the diffIDs of its layers. */
  async #reachableFrom(root: Digest): Promise<readonly Digest[]> {
    try {
      const { manifest, config } = await this.#open(root)
      return [manifest.config.digest, ...manifest.layers.map(({ digest }) => digest), ...config.diffIds]
    } catch (error) {
      // A damaged image must not keep others from being removed; whoever opens it is told of the damage.
      if (error instanceof OciError) return []
      throw error
    }
  }

  async #open(digest: Digest, mediaType?: string): Promise<{ manifest: ImageManifest; config: ImageConfig }> {
    const known = this.#opened.get(digest)
    if (known !== undefined) return known
    const what = `image ${shortDigest(digest)}`
    const manifest = parseImageManifest(
      await this.blobs.read(digest, `the manifest of ${what}`),
      mediaType,
      what,
    )
    const bytes = await this.blobs.read(manifest.config.digest, `the config of ${what}`)
    const config = parseImageConfig(bytes, `the config of ${what}`)
    requireMatchingLayers(config, manifest.layers.length, what)
    const opened = { manifest, config }
    this.#opened.set(digest, opened)
    return opened
  }

  async #matchingDigests(text: string, stored: readonly StoredReference[]): Promise<Digest[]> {
    const matches = digestMatcher(text)
    if (matches === undefined) return []
    const found = new Set<Digest>()
    for (const entry of stored) {
      const { digest } = entry.manifest
      if (matches(digest) || (entry.indexDigest !== undefined && matches(entry.indexDigest)))
        found.add(digest)
    }
    if (found.size > 0) return [...found]
    for (const entry of stored) {
      const { manifest } = await this.openReference(entry)
      if (matches(manifest.config.digest)) found.add(entry.manifest.digest)
    }
    return [...found]
  }
}

function isLast({ references }: StoredImage): boolean {
  return references.length === 1
}
