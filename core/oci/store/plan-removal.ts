// What goes when somebody removes an image by one of its names or by its id, and what is in the way of it.

import { type Digest, shortDigest } from '../digest.ts'
import { OciError } from '../errors.ts'
import { familiarReference } from '../reference.ts'
import { namedBy, type StoredImage } from './find-image.ts'

export interface RemoveOptions {
  /** Also remove an image that several references lead to, or that guests were made of. */
  readonly force?: boolean | undefined
  /** Manifests of which guests exist: their blobs and root images stay. */
  readonly inUse?: readonly Digest[] | undefined
}

export interface Removal {
  /** References that go. */
  readonly names: readonly string[]
  /** Whether the image goes with them. */
  readonly isWhole: boolean
}

/** Says what goes when the image that `text` names is removed. Throws `oci.ambiguous`, `oci.in-use`. */
export function planRemoval(
  text: string,
  image: StoredImage,
  { force = false, inUse = [] }: RemoveOptions,
): Removal {
  const named = namedBy(text, image.references)
  const names = (named === undefined || isLast(image) ? image.references : [named]).map(({ name }) => name)
  const shown =
    named === undefined ? `image ${shortDigest(image.digest)}` : familiarReference(named.reference)
  if (named === undefined && names.length > 1 && !force) {
    throw new OciError('oci.ambiguous', `Cannot remove ${shown}: ${names.length} names lead to it`, {
      hint: `Remove the names one by one (${names.join(', ')}), or force it.`,
      data: { candidates: names },
    })
  }
  const isWhole = names.length === image.references.length
  if (isWhole && inUse.includes(image.digest) && !force) {
    throw new OciError('oci.in-use', `Cannot remove ${shown}: guests were made of it`, {
      hint: 'Remove these guests first, or force it.',
    })
  }
  return { names, isWhole }
}

function isLast({ references }: StoredImage): boolean {
  return references.length === 1
}
