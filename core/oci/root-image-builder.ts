// Makes the root image of an image in the store, once for all who ask at the same time.

import { buildRootImage, type ImageLayer } from './build-root-image.ts'
import { type Digest, isDigest, shortDigest } from './digest.ts'
import { OciError } from './errors.ts'
import { readFileInPieces } from './layer/open-layer.ts'
import type { ImageProgress, OnProgress } from './progress.ts'
import { type FlightOptions, SingleFlight } from './single-flight.ts'
import type { ImageStore, OpenedImage } from './store/image-store.ts'
import type { RootImageFile } from './store/root-images.ts'

/** Builds root images in the format of the store. */
export class RootImageBuilder {
  readonly #store: ImageStore
  readonly #flights = new SingleFlight<RootImageFile, ImageProgress>()

  constructor(store: ImageStore) {
    this.#store = store
  }

  /** The root image of what `image` names; it is built when there is none, once for all who ask. */
  async ensure(key: string, { signal, onProgress }: FlightOptions<ImageProgress>): Promise<RootImageFile> {
    // A guest outlives the name of its image: by digest a finished root image is found without one.
    const known = isDigest(key) ? await this.#store.rootImages.find(key) : undefined
    return known ?? (await this.#ensure(key, { signal, onProgress }))
  }

  async #ensure(key: string, options: FlightOptions<ImageProgress>): Promise<RootImageFile> {
    const image = await this.#store.openImage(key)
    return this.#flights.run(
      image.digest,
      `build the root image of ${key}`,
      async (flight) =>
        (await this.#store.rootImages.find(image.digest)) ?? this.#build(image, flight.signal, flight.report),
      options,
    )
  }

  async #build(image: OpenedImage, signal: AbortSignal, report: OnProgress): Promise<RootImageFile> {
    const { digest, manifest, config } = image
    const { segments, format } = this.#store
    using hold = this.#store.blobs.hold()
    hold.add(digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest))
    const layers = await this.#layersOf(image)
    // Careful: without await the blobs would be let go while they are read.
    return await this.#store.rootImages.add(digest, async (output) => {
      const onProgress = (progress: Omit<ImageProgress, 'layers'>) => report({ ...progress, layers: [] })
      const built = await buildRootImage({ layers, segments, format, output, signal, onProgress })
      return {
        formatVersion: 2,
        format: format.name,
        imageDigest: digest,
        configDigest: manifest.config.digest,
        ...(config.created === undefined ? {} : { created: config.created }),
        ...built,
        runConfig: config.run,
      }
    })
  }

  async #layersOf({ digest, manifest, config }: OpenedImage): Promise<ImageLayer[]> {
    const layers: ImageLayer[] = []
    for (const [position, layer] of manifest.layers.entries()) {
      const diffId = config.diffIds[position]
      if (diffId === undefined || !(await this.#store.blobs.has(layer))) throw layerGone(digest, position + 1)
      const path = this.#store.blobs.pathOf(layer.digest)
      const source = () => readFileInPieces(path)
      layers.push({ digest: layer.digest, diffId, sizeBytes: layer.size, source })
    }
    return layers
  }
}

function layerGone(image: Digest, position: number): OciError {
  return new OciError(
    'oci.corrupt-store',
    `Cannot build the root image of ${shortDigest(image)}: its layer ${position} is gone`,
    { hint: 'Remove the image and fetch it again.' },
  )
}
