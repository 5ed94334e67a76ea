// From an index, and indexes in it, to the manifest for a platform (image-index.md).

import { OciError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { type Descriptor, type Platform, parseDocument } from './manifest.ts'
import { documentKind } from './media-types.ts'
import { bestEntry, isAttestation, noPlatform } from './platform.ts'
import { type DocumentSource, readVerified } from './read-verified.ts'

export interface LocateOptions {
  readonly source: DocumentSource
  /** How errors name the image. */
  readonly name: string
  readonly platform: Platform
  readonly signal?: AbortSignal | undefined
}

/** A manifest with its verified bytes. */
export interface LocatedManifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
  /** The indexes that led to it, the outermost first. */
  readonly indexes: readonly Descriptor[]
}

/**
 * Follows an index to the manifest for the platform: the entry that fits best, else what the indexes in it have, in
 * their order. Throws `oci.no-platform` with all platforms that were seen, `oci.limit`.
 */
export async function locateManifest(root: Descriptor, options: LocateOptions): Promise<LocatedManifest> {
  const search = new Search(options)
  const located = await search.below(root, [])
  if (located !== undefined) return located
  throw noPlatform(options.name, options.platform, search.offered)
}

class Search {
  readonly offered: Platform[] = []
  readonly #options: LocateOptions
  #documents = 0

  constructor(options: LocateOptions) {
    this.#options = options
  }

  async below(descriptor: Descriptor, indexes: readonly Descriptor[]): Promise<LocatedManifest | undefined> {
    const { source, name, platform, signal } = this.#options
    this.#requireLimits(indexes.length)
    const bytes = await readVerified(source, descriptor, `the manifest of ${name}`, signal)
    const document = parseDocument(bytes, descriptor.mediaType, name)
    if (document.kind === 'manifest') return { descriptor, bytes, indexes }
    const path = [...indexes, descriptor]
    const best = bestEntry(document, platform)
    if (best !== undefined) return this.below(best, path)
    const entries = document.manifests.filter((entry) => !isAttestation(entry))
    this.offered.push(...entries.flatMap((entry) => entry.platform ?? []))
    const unnamed = entries.filter((entry) => entry.platform === undefined)
    for (const nested of unnamed) {
      if (documentKind(nested.mediaType) !== 'index') continue
      const located = await this.below(nested, path)
      if (located !== undefined) return located
    }
    // A lone entry without a platform is the image itself; its config is checked against the platform later.
    const [only] = unnamed
    const isLone = entries.length === 1 && only !== undefined && documentKind(only.mediaType) !== 'index'
    return isLone ? this.below(only, path) : undefined
  }

  #requireLimits(depth: number): void {
    this.#documents += 1
    const which =
      depth > LIMITS.indexDepth
        ? 'indexDepth'
        : this.#documents > LIMITS.indexDocuments
          ? 'indexDocuments'
          : undefined
    if (which === undefined) return
    const reason =
      which === 'indexDepth'
        ? `its indexes are nested deeper than ${LIMITS.indexDepth} levels`
        : `it has more than ${LIMITS.indexDocuments} indexes`
    throw new OciError('oci.limit', `Cannot use ${this.#options.name}: ${reason}`, { data: { which } })
  }
}
