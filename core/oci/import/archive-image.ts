// What every kind of archive is to the importer: a list of images, each with the names that the archive gives it and a
// way to bring it into the store.

import type { Digest } from '../digest.ts'
import type { Platform } from '../manifest.ts'
import type { OnProgress } from '../progress.ts'
import { parseReference } from '../reference.ts'
import type { BlobHold } from '../store/blob-hold.ts'
import type { ImageStore } from '../store/image-store.ts'
import type { StoredReference } from '../store/layout-index.ts'

export interface ArchiveContext {
  readonly store: ImageStore
  readonly platform: Platform
  readonly hold: BlobHold
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: OnProgress | undefined
}

export interface ImportedImage {
  readonly manifest: StoredReference['manifest']
  /** The index that the image was chosen from, when there was one. */
  readonly indexDigest?: Digest | undefined
}

/** One image of an archive. */
export interface ArchiveImage {
  /** Full or short references, as the archive has them; those that are none are left out. */
  readonly names: readonly string[]
  bring(context: ArchiveContext): Promise<ImportedImage>
}

/** Keeps the names that can be references. */
export function usableNames(names: readonly string[]): string[] {
  return [...new Set(names)].filter((name) => {
    try {
      return parseReference(name).digest === undefined
    } catch {
      return false
    }
  })
}
