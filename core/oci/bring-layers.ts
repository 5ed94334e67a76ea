// Brings the layers of an image into the store, several at a time, and has each unpacked into its segment while it comes:
// when the last byte is here, little is left to do before the root image can be put together.

import type { Digest } from './digest.ts'
import { inParallel } from './in-parallel.ts'
import type { LayerTracker } from './layer-tracker.ts'
import type { Descriptor } from './manifest.ts'
import type { ImageStore } from './store/image-store.ts'
import type { ImageSource } from './transfer.ts'

/** A layer that is not in the store. */
export interface MissingLayer {
  readonly descriptor: Descriptor
  /** As the image's config has it. */
  readonly diffId: Digest
  /** How errors name the layer. */
  readonly name: string
}

export interface BringLayersOptions {
  readonly store: ImageStore
  readonly source: ImageSource
  readonly tracker: LayerTracker
  /** Layers at the same time. */
  readonly parallel: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Brings all layers, verified and unpacked. The first failure ends the others; what came of them stays for the next try.
 * Throws what the source throws, and `oci.digest-mismatch`, `oci.corrupt-layer`, `oci.limit`, `oci.unsupported-media`
 * for a layer that is not what the config says.
 */
export async function bringLayers(
  layers: readonly MissingLayer[],
  options: BringLayersOptions,
): Promise<void> {
  const { tracker, source, store, parallel } = options
  const failure = new AbortController()
  const signal =
    options.signal === undefined ? failure.signal : AbortSignal.any([options.signal, failure.signal])
  const unpackings: Promise<void>[] = []
  const unpackWhileItComes = (layer: MissingLayer, whole: Promise<void>) => {
    const unpacking = unpack(layer, whole, { ...options, signal })
    // The downloads need not go on for an image that cannot be used.
    unpackings.push(unpacking.catch((error: unknown) => failure.abort(error)))
  }
  try {
    await inParallel(layers, parallel, signal, async (layer, groupSignal) => {
      const { descriptor, name } = layer
      const whole = Promise.withResolvers<void>()
      whole.promise.catch(() => {})
      let isUnpacking = false
      const begin = () => {
        if (!isUnpacking) unpackWhileItComes(layer, whole.promise)
        isUnpacking = true
      }
      const onProgress = (bytesDone: number) => {
        tracker.received(descriptor, bytesDone)
        begin()
      }
      tracker.received(descriptor, 0)
      try {
        await source.bringLayer(descriptor, name, { blobs: store.blobs, signal: groupSignal, onProgress })
      } catch (error) {
        whole.reject(error)
        throw error
      }
      tracker.brought(descriptor)
      whole.resolve()
      begin()
    })
  } catch (error) {
    if (!failure.signal.aborted) failure.abort(error)
  }
  await Promise.all(unpackings)
  if (failure.signal.aborted) throw failure.signal.reason
}

/**
 * Makes the segment of a layer. Bytes that are read while they come have not been verified, and may stop coming: what
 * fails then says nothing, and is done again when the blob is `whole`. What fails then is the layer's own fault.
 */
async function unpack(
  { descriptor, diffId, name }: MissingLayer,
  whole: Promise<void>,
  { store, tracker, signal }: BringLayersOptions,
): Promise<void> {
  const { digest } = descriptor
  const ensure = async () => {
    const source = (reading: AbortSignal) => store.blobs.follow(digest, name, reading)
    const onProgress = (bytesRead: number) => tracker.unpacked(descriptor, bytesRead)
    await using _opened = await store.segments.ensure({ digest, diffId, name }, source, {
      signal,
      onProgress,
    })
  }
  try {
    await ensure()
  } catch (error) {
    if (signal?.aborted === true) throw error
    await whole
    await ensure()
  }
  await whole
  tracker.done(descriptor)
}
