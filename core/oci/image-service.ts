// What the image worker does: everything about images behind one object, with the store that it owns. It knows nothing
// of sockets; image-worker.ts puts it on the wire.

import type { Readable } from 'node:stream'
import { buildRootImage } from './build-root-image.ts'
import { type Digest, isDigest, parseDigest, shortDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { describeImage, listImages } from './image-catalogue.ts'
import type { ParametersOf, ResultOf } from './image-worker-protocol.ts'
import { importArchive } from './import/import-archive.ts'
import { parsePlatform } from './platform.ts'
import type { ImageProgress, OnProgress } from './progress.ts'
import { pullImage } from './registry/pull-image.ts'
import { SingleFlight } from './single-flight.ts'
import { ImageStore, type OpenedImage } from './store/image-store.ts'
import type { RootImageFile } from './store/root-images.ts'
import { DEFAULT_COMPRESSION_LEVEL } from './writers/squashfs/squashfs-writer.ts'

/** Part of each root image's key: change the number when the writer makes other bytes of the same layers. */
const ROOT_IMAGE_FORMAT = `squashfs zstd-${DEFAULT_COMPRESSION_LEVEL} 1`

export interface CallContext {
  readonly signal: AbortSignal
  readonly onProgress: OnProgress
}

export class ImageService implements Disposable {
  readonly #store: ImageStore
  readonly #log: (message: string) => void
  readonly #builds = new SingleFlight<RootImageFile, ImageProgress>()

  private constructor(store: ImageStore, log: (message: string) => void) {
    this.#store = store
    this.#log = log
  }

  /** Opens the store under `root`; no other process may have it. */
  static async open(root: string, log: (message: string) => void): Promise<ImageService> {
    return new ImageService(await ImageStore.open(root, ROOT_IMAGE_FORMAT), log)
  }

  [Symbol.dispose](): void {
    this.#store[Symbol.dispose]()
  }

  async list(): Promise<ResultOf<'list'>> {
    return listImages(this.#store, (error) =>
      this.#log(`An image was left out of the list: ${String(error)}`),
    )
  }

  async inspect({ image }: ParametersOf['inspect']): Promise<ResultOf<'inspect'>> {
    return describeImage(this.#store, image)
  }

  async pull(
    { platform, ...request }: ParametersOf['pull'],
    context: CallContext,
  ): Promise<ResultOf<'pull'>> {
    return pullImage({ ...request, ...platformOf(platform) }, this.#store, context)
  }

  async import(
    { name, sizeBytes, platform }: ParametersOf['import'],
    archive: Readable,
    context: CallContext,
  ): Promise<ResultOf<'import'>> {
    const options = { name, sizeBytes, ...platformOf(platform), ...context }
    return { references: await importArchive(archive, this.#store, options) }
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

  async sweep({ inUse }: ParametersOf['sweep']): Promise<ResultOf<'sweep'>> {
    return { freedBytes: await this.#store.sweep(inUse.map((digest) => parseDigest(digest))) }
  }

  /** The root image of what `image` names; it is built when there is none, once for all who ask. */
  async rootImage(
    { image: key }: ParametersOf['rootImage'],
    { signal, onProgress }: CallContext,
  ): Promise<ResultOf<'rootImage'>> {
    // A guest outlives the name of its image: by digest a finished root image is found without one.
    const known = isDigest(key) ? await this.#store.rootImages.find(key) : undefined
    return toResult(known ?? (await this.#ensureRootImage(key, signal, onProgress)))
  }

  async #ensureRootImage(key: string, signal: AbortSignal, onProgress: OnProgress): Promise<RootImageFile> {
    const image = await this.#store.openImage(key)
    return this.#builds.run(
      image.digest,
      `build the root image of ${key}`,
      async (flight) =>
        (await this.#store.rootImages.find(image.digest)) ?? this.#build(image, flight.signal, flight.report),
      { signal, onProgress },
    )
  }

  async #build(image: OpenedImage, signal: AbortSignal, report: OnProgress): Promise<RootImageFile> {
    const { digest, manifest, config } = image
    using hold = this.#store.blobs.hold()
    hold.add(digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest))
    const layers = await this.#layersOf(image)
    // Careful: without await the blobs would be let go while they are read.
    return await this.#store.rootImages.add(digest, async (output) => {
      const onProgress = (progress: Omit<ImageProgress, 'layers'>) => report({ ...progress, layers: [] })
      const built = await buildRootImage({ layers, output, signal, onProgress })
      return {
        formatVersion: 1,
        imageDigest: digest,
        configDigest: manifest.config.digest,
        ...(config.created === undefined ? {} : { created: config.created }),
        ...built,
        runConfig: config.run,
      }
    })
  }

  async #layersOf({
    digest,
    manifest,
    config,
  }: OpenedImage): Promise<{ path: string; digest: Digest; diffId: Digest }[]> {
    const layers: { path: string; digest: Digest; diffId: Digest }[] = []
    for (const [position, layer] of manifest.layers.entries()) {
      const diffId = config.diffIds[position]
      if (diffId === undefined || !(await this.#store.blobs.has(layer))) {
        throw new OciError(
          'oci.corrupt-store',
          `Cannot build the root image of ${shortDigest(digest)}: its layer ${position + 1} is gone`,
          {
            hint: 'Remove the image and fetch it again.',
          },
        )
      }
      layers.push({ path: this.#store.blobs.pathOf(layer.digest), digest: layer.digest, diffId })
    }
    return layers
  }
}

function toResult({ key, record }: RootImageFile): ResultOf<'rootImage'> {
  const { imageDigest, formatVersion: _, ...rest } = record
  return { key, digest: imageDigest, ...rest }
}

function platformOf(text: string | undefined): { platform?: ReturnType<typeof parsePlatform> } {
  return text === undefined ? {} : { platform: parsePlatform(text) }
}
