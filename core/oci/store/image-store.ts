// The images of this host: references, their blobs in an OCI layout, and the root images made of them. Finds images the
// way people name them, and sweeps what no reference leads to any more.

import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Digest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { formatReference, type ImageReference, parseReference } from '../reference.ts'
import { LayerSegments } from '../segments/layer-segments.ts'
import type { ImageFormat } from '../writers/image-format.ts'
import { squashfsFormat } from '../writers/squashfs/squashfs-format.ts'
import { BlobStore } from './blob-store.ts'
import { type CheckOptions, checkStore, type StoreParts, type StoreReport } from './check-store.ts'
import { findImage, notFound, type StoredImage } from './find-image.ts'
import { DocumentReader, type ImageDocuments } from './image-documents.ts'
import { LayoutIndex, type StoredReference } from './layout-index.ts'
import { planRemoval, type RemoveOptions } from './plan-removal.ts'
import { RootImages } from './root-images.ts'
import { lockStore } from './store-lock.ts'
import { type PruneOptions, type PruneResult, type SweepStoreOptions, sweepStore } from './sweep-store.ts'

/** An image with its documents read. */
export type OpenedImage = StoredImage & ImageDocuments

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
  readonly #documents: DocumentReader

  private constructor(parts: StoreParts, { format, lock }: { format: ImageFormat; lock: Disposable }) {
    this.blobs = parts.blobs
    this.rootImages = parts.rootImages
    this.segments = parts.segments
    this.format = format
    this.#documents = new DocumentReader(parts.blobs)
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
    return findImage(text, await this.#index.list(), (entry) => this.openReference(entry))
  }

  /** Finds an image and reads its manifest and config. */
  async openImage(text: string): Promise<OpenedImage> {
    const image = await this.resolve(text)
    return { ...image, ...(await this.#documents.read(image.digest, image.mediaType)) }
  }

  /** The documents of a manifest in the store. */
  async openReference(stored: StoredReference): Promise<ImageDocuments> {
    return this.#documents.read(stored.manifest.digest, stored.manifest.mediaType)
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
        this.#documents.forget()
      }
    })
  }

  async #remove(text: string, { force, inUse = [] }: RemoveOptions): Promise<RemoveResult> {
    const image = await this.resolve(text)
    const { names, isWhole } = planRemoval(text, image, { force, inUse })
    await this.#index.delete(new Set(names))
    const freedBytes = isWhole ? (await this.#sweep({ inUse })).freedBytes : 0
    return { untagged: names, deleted: isWhole ? [image.digest] : [], freedBytes }
  }

  async #sweep(options: Partial<SweepStoreOptions>): Promise<PruneResult> {
    const result = await sweepStore(this.#parts, {
      reachableFrom: (manifest) => this.#documents.reachableFrom(manifest),
      inUse: [],
      goes: () => false,
      derived: false,
      leftovers: false,
      dryRun: false,
      ...options,
    })
    if (options.dryRun !== true) this.#documents.forget()
    return result
  }

  /** One at a time of what changes names or removes; pulls and imports need not wait, they hold what they bring. */
  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#lastChange.then(work)
    this.#lastChange = result.catch(() => {})
    return result
  }
}
