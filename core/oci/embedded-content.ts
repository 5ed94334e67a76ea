// Content that a descriptor carries along (image-spec descriptor.md "Embedded Content"): nothing needs to be fetched,
// and the same promises hold as for any other bytes.

import { digestAlgorithm, digestOf, requireSameDigest } from './digest.ts'
import { OciError } from './errors.ts'
import type { Descriptor } from './manifest.ts'

/** RFC 4648 §4, padded. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * The verified content of a descriptor that has it in its `data`; undefined where it has none. `what` names it in errors.
 * Throws `oci.corrupt-image`, `oci.size-mismatch`, `oci.digest-mismatch`.
 */
export function embeddedContent({ data, size, digest }: Descriptor, what: string): Buffer | undefined {
  if (data === undefined) return undefined
  if (!BASE64.test(data)) {
    throw new OciError('oci.corrupt-image', `Cannot read ${what}: the data in its descriptor is not base64`)
  }
  const bytes = Buffer.from(data, 'base64')
  if (bytes.length !== size) {
    throw new OciError(
      'oci.size-mismatch',
      `Cannot accept ${what}: its descriptor carries ${bytes.length} bytes, ${size} were announced`,
    )
  }
  requireSameDigest(what, digest, digestOf(bytes, digestAlgorithm(digest)))
  return bytes
}
