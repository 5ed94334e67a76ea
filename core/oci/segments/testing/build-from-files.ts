// Builds root images of layer files for tests, with segments in a folder of the test or in one that is gone afterwards.

import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BuildProgress, type BuiltRootImage, buildRootImage } from '../../build-root-image.ts'
import { readFileInPieces } from '../../layer/open-layer.ts'
import type { ImageFormat } from '../../writers/image-format.ts'
import { squashfsFormat } from '../../writers/squashfs/squashfs-format.ts'
import { LayerSegments } from '../layer-segments.ts'

/** A layer's file on disk, with what its content must hash to. */
export interface LayerFile {
  readonly path: string
  readonly digest: string
  readonly diffId: string
}

export interface BuildFromFilesOptions {
  /** Bottom to top. */
  readonly layers: readonly LayerFile[]
  readonly output: string
  /** squashfs if left out. */
  readonly format?: ImageFormat
  /** Where segments are and stay. */
  readonly segmentsFolder?: string
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: BuildProgress) => void
}

export async function buildFromFiles({
  layers,
  format = squashfsFormat(),
  segmentsFolder,
  ...options
}: BuildFromFilesOptions): Promise<BuiltRootImage> {
  const folder = segmentsFolder ?? (await mkdtemp(join(tmpdir(), 'segments-')))
  try {
    await using segments = await LayerSegments.open({ folder, format, log: fail })
    const imageLayers = await Promise.all(
      layers.map(async ({ path, digest, diffId }) => {
        const sizeBytes = (await stat(path).catch(() => undefined))?.size ?? 0
        return { digest, diffId, sizeBytes, source: () => readFileInPieces(path) }
      }),
    )
    return await buildRootImage({ layers: imageLayers, segments, format, ...options })
  } finally {
    if (segmentsFolder === undefined) await rm(folder, { recursive: true })
  }
}

function fail(message: string): never {
  throw new Error(message)
}
