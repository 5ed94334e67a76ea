// How people name an image of the store: by a reference, by a digest, or by the first digits of one.

import { type Digest, digestHex, isDigest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { familiarReference, type ImageReference, parseReference } from '../reference.ts'
import type { ImageDocuments } from './image-documents.ts'
import type { StoredReference } from './layout-index.ts'

/** Shorter prefixes of an id name nothing. */
const SHORTEST_PREFIX = /^[0-9a-f]{2,64}$/

/** An image that was found, with every reference that leads to it. */
export interface StoredImage {
  readonly digest: Digest
  readonly mediaType: string
  readonly references: readonly StoredReference[]
}

type DocumentsOf = (entry: StoredReference) => Promise<Pick<ImageDocuments, 'manifest'>>

/**
 * Finds an image by a name, a digest (of the manifest, of the index it came from, or of the config) or the first digits of
 * one. Throws `oci.not-found`, `oci.ambiguous`, `oci.bad-reference`.
 */
export async function findImage(
  text: string,
  stored: readonly StoredReference[],
  documentsOf: DocumentsOf,
): Promise<StoredImage> {
  const byName = namedBy(text, stored)
  if (byName !== undefined) return imageOf(byName.manifest.digest, stored)
  const digests = await matchingDigests(text, stored, documentsOf)
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

async function matchingDigests(
  text: string,
  stored: readonly StoredReference[],
  documentsOf: DocumentsOf,
): Promise<Digest[]> {
  const matches = digestMatcher(text)
  if (matches === undefined) return []
  const found = new Set<Digest>()
  for (const entry of stored) {
    const { digest } = entry.manifest
    if (matches(digest) || (entry.indexDigest !== undefined && matches(entry.indexDigest))) found.add(digest)
  }
  if (found.size > 0) return [...found]
  for (const entry of stored) {
    const { manifest } = await documentsOf(entry)
    if (matches(manifest.config.digest)) found.add(entry.manifest.digest)
  }
  return [...found]
}

/** Whether a text can be a digest or the beginning of one, and which digests it fits. */
function digestMatcher(text: string): ((digest: Digest) => boolean) | undefined {
  if (isDigest(text)) return (digest) => digest === text
  if (SHORTEST_PREFIX.test(text)) return (digest) => digestHex(digest).startsWith(text)
  return undefined
}

/** The reference that a text names. A digest in the text may be the manifest's or that of the index it came from. */
export function namedBy(text: string, stored: readonly StoredReference[]): StoredReference | undefined {
  const reference = tryParse(text)
  if (reference === undefined) return undefined
  const { registry, repository, tag, digest } = reference
  return stored.find((entry) => {
    if (entry.reference.registry !== registry || entry.reference.repository !== repository) return false
    if (digest === undefined) return entry.reference.tag === tag && entry.reference.digest === undefined
    return entry.manifest.digest === digest || entry.indexDigest === digest
  })
}

function tryParse(text: string): ImageReference | undefined {
  try {
    return parseReference(text)
  } catch {
    return undefined
  }
}

/** The image of a manifest, with the references that lead to it. Throws `oci.not-found` where there is none. */
function imageOf(digest: Digest, stored: readonly StoredReference[]): StoredImage {
  const references = stored.filter(({ manifest }) => manifest.digest === digest)
  const [first] = references
  if (first === undefined) throw notFound(digest)
  return { digest, mediaType: first.manifest.mediaType, references }
}

/** The error for a text that names no image here; `oci.bad-reference` for one that could not name any. */
export function notFound(text: string): OciError {
  const isIdLike = isDigest(text) || SHORTEST_PREFIX.test(text)
  const name = isIdLike ? text : familiarReference(parseReference(text))
  return new OciError('oci.not-found', `There is no image "${name}" on this host`, {
    hint: isIdLike ? 'List the images to see their ids.' : `Fetch it with "bulkhead pull ${name}".`,
    data: { where: 'store' },
  })
}
