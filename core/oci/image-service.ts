// What the image worker does: everything about images behind one object, with the store that it owns. It knows nothing
// of sockets; image-worker.ts puts it on the wire.

import { parseDigest } from './digest.ts'
import { exportImages } from './export/export-images.ts'
import { describeImage, listImages } from './image-catalogue.ts'
import type { ParametersOf, ResultOf, RootImageFormatName } from './image-worker-protocol.ts'
import { importArchive } from './import/import-archive.ts'
import { parsePlatform } from './platform.ts'
import type { OnProgress } from './progress.ts'
import { parseReference } from './reference.ts'
import { checkRegistry } from './registry/check-registry.ts'
import { listTags } from './registry/list-tags.ts'
import { pullImage } from './registry/pull-image.ts'
import { RootImageBuilder } from './root-image-builder.ts'
import { requireNotRejected, requirePolicy } from './signatures/policy.ts'
import { ImageStore } from './store/image-store.ts'
import type { RootImageFile } from './store/root-images.ts'
import { verifyImage } from './verify-image.ts'
import { EROFS } from './writers/erofs/erofs-format.ts'
import type { ImageFormat } from './writers/image-format.ts'
import { squashfsFormat } from './writers/squashfs/squashfs-format.ts'

const FORMATS: Readonly<Record<RootImageFormatName, ImageFormat>> = {
  squashfs: squashfsFormat(),
  erofs: EROFS,
}

export interface CallContext {
  readonly signal: AbortSignal
  readonly onProgress: OnProgress
}

export class ImageService implements AsyncDisposable {
  readonly #store: ImageStore
  readonly #log: (message: string) => void
  readonly #rootImages: RootImageBuilder

  private constructor(store: ImageStore, log: (message: string) => void) {
    this.#store = store
    this.#rootImages = new RootImageBuilder(store)
    this.#log = log
  }

  /** Opens the store under `root`; no other process may have it. */
  static async open(
    { root, rootImageFormat }: ParametersOf['open'],
    log: (message: string) => void,
  ): Promise<ImageService> {
    return new ImageService(await ImageStore.open(root, FORMATS[rootImageFormat], log), log)
  }

  /** Ends the calls' store, with a few seconds for what is about to be finished. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]()
  }

  async list(): Promise<ResultOf<'list'>> {
    return listImages(this.#store, (error) =>
      this.#log(`An image was left out of the list: ${String(error)}`),
    )
  }

  async inspect({ image }: ParametersOf['inspect']): Promise<ResultOf<'inspect'>> {
    return describeImage(this.#store, image)
  }

  /** A policy on signatures is looked at before anything is fetched, and before the image is built. */
  async pull(
    { platform, signatures = {}, ...request }: ParametersOf['pull'],
    { signal, onProgress }: CallContext,
  ): Promise<ResultOf<'pull'>> {
    requireNotRejected(signatures, parseReference(request.reference))
    return pullImage({ ...request, ...platformOf(platform) }, this.#store, {
      policy: requirePolicy(signatures),
      log: this.#log,
      signal,
      onProgress,
    })
  }

  async import(
    { name, sizeBytes, platform }: ParametersOf['import'],
    archive: AsyncIterable<Uint8Array>,
    context: CallContext,
  ): Promise<ResultOf<'import'>> {
    const options = { name, sizeBytes, ...platformOf(platform), ...context }
    return { references: await importArchive(archive, this.#store, options) }
  }

  /** Images as one archive, whose bytes `send` is given. */
  async export(
    { images, format }: ParametersOf['export'],
    send: (bytes: AsyncIterable<Buffer>) => Promise<void>,
    context: CallContext,
  ): Promise<ResultOf<'export'>> {
    return exportImages(this.#store, { images, format, ...context }, send)
  }

  async tag({ image, name }: ParametersOf['tag']): Promise<ResultOf<'tag'>> {
    return { reference: await this.#store.tag(image, name) }
  }

  async remove({ image, force, inUse = [] }: ParametersOf['remove']): Promise<ResultOf<'remove'>> {
    const removed = await this.#store.remove(image, {
      force,
      inUse: inUse.map((digest) => parseDigest(digest)),
    })
    return { untagged: [...removed.untagged], deleted: [...removed.deleted], freedBytes: removed.freedBytes }
  }

  async prune({ inUse, ...options }: ParametersOf['prune']): Promise<ResultOf<'prune'>> {
    const { images, freedBytes } = await this.#store.prune({
      ...options,
      inUse: inUse.map((digest) => parseDigest(digest)),
    })
    return { images: [...images], freedBytes }
  }

  async check({ repair, inUse }: ParametersOf['check'], context: CallContext): Promise<ResultOf<'check'>> {
    const report = await this.#store.check({
      repair,
      inUse: inUse.map((digest) => parseDigest(digest)),
      ...context,
    })
    return { ...report, problems: [...report.problems] }
  }

  async tags(request: ParametersOf['tags'], { signal }: CallContext): Promise<ResultOf<'tags'>> {
    return listTags(request, { signal, log: this.#log })
  }

  async checkRegistry(
    request: ParametersOf['checkRegistry'],
    { signal }: CallContext,
  ): Promise<ResultOf<'checkRegistry'>> {
    return checkRegistry(request, { signal })
  }

  async verify(request: ParametersOf['verify'], { signal }: CallContext): Promise<ResultOf<'verify'>> {
    const { signatures, ...verified } = await verifyImage(request, this.#store, { signal, log: this.#log })
    return { ...verified, signatures: [...signatures] }
  }

  async sweep({ inUse }: ParametersOf['sweep']): Promise<ResultOf<'sweep'>> {
    return { freedBytes: await this.#store.sweep(inUse.map((digest) => parseDigest(digest))) }
  }

  /** The root image of what `image` names; it is built when there is none, once for all who ask. */
  async rootImage(
    { image }: ParametersOf['rootImage'],
    context: CallContext,
  ): Promise<ResultOf<'rootImage'>> {
    return toResult(await this.#rootImages.ensure(image, context))
  }
}

function toResult({ key, record }: RootImageFile): ResultOf<'rootImage'> {
  const { imageDigest, formatVersion: _, ...rest } = record
  return { key, digest: imageDigest, ...rest }
}

function platformOf(text: string | undefined): { platform?: ReturnType<typeof parsePlatform> } {
  return text === undefined ? {} : { platform: parsePlatform(text) }
}
