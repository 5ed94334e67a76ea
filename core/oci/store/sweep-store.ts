// Removes what is not needed any more: blobs, root images and segments that no image leads to. A dry run walks the same
// way without removing, so what it tells is what the real run does.

import type { Digest } from '../digest.ts'
import type { StoreParts } from './check-store.ts'
import type { StoredReference } from './layout-index.ts'

export interface PruneOptions {
  /** Every image that no guest was made of, not only those without a tag. */
  readonly all?: boolean | undefined
  /** Also what can be made again: root images that no guest uses, and segments. */
  readonly derived?: boolean | undefined
  /** Removes nothing, and tells what would go. */
  readonly dryRun?: boolean | undefined
  /** Manifests of which guests exist. */
  readonly inUse?: readonly Digest[] | undefined
}

export interface PruneResult {
  readonly images: readonly { readonly reference: string; readonly digest: Digest }[]
  readonly freedBytes: number
}

export interface SweepStoreOptions {
  /** Everything that a manifest leads to: its blobs, and the diffIDs of its layers. */
  readonly reachableFrom: (manifest: Digest) => Promise<readonly Digest[]>
  readonly inUse: readonly Digest[]
  /** Which images go, with all their references. */
  readonly goes: (references: readonly StoredReference[]) => boolean
  readonly derived: boolean
  /** Also what broken-off downloads left. */
  readonly leftovers: boolean
  readonly dryRun: boolean
}

/**
 * Removes references, then what nothing leads to; never what guests were made of, nor what work under way holds. Nobody
 * else may change references meanwhile, except pulls and imports, which hold what they bring.
 */
export async function sweepStore(parts: StoreParts, options: SweepStoreOptions): Promise<PruneResult> {
  const { index, blobs, rootImages, segments } = parts
  const { inUse, goes, derived, leftovers, dryRun, reachableFrom } = options
  using held = blobs.holds.startSweep()
  const used = new Set(inUse)
  const byImage = Map.groupBy(await index.list(), ({ manifest }) => manifest.digest)
  const going = [...byImage].filter(
    ([digest, references]) => !used.has(digest) && !held.has(digest) && goes(references),
  )
  const gone = new Set(going.map(([digest]) => digest))
  const removed = going.flatMap(([digest, references]) =>
    references.map(({ name }) => ({ reference: name, digest })),
  )
  if (!dryRun && removed.length > 0) await index.delete(new Set(removed.map(({ reference }) => reference)))

  const roots = new Set([...used, ...[...byImage.keys()].filter((digest) => !gone.has(digest))])
  const wanted = new Set(roots)
  for (const root of roots) for (const digest of await reachableFrom(root)) wanted.add(digest)
  const isRootImageWanted = (digest: Digest) =>
    held.has(digest) || (derived ? used.has(digest) : roots.has(digest))
  const isSegmentWanted = (diffId: Digest) => held.has(diffId) || (!derived && wanted.has(diffId))
  let freedBytes = await rootImages.sweep(isRootImageWanted, { dryRun })
  freedBytes += await segments.sweep(isSegmentWanted, { dryRun })
  if (leftovers) freedBytes += await blobs.sweepParts({ dryRun })
  // Another tool's entry may lead to anything, so of the blobs nothing can be said to be unwanted.
  if (!(await index.hasForeignEntries()))
    freedBytes += await blobs.sweep({ isWanted: (digest) => wanted.has(digest), held, dryRun })
  return { images: removed, freedBytes }
}
