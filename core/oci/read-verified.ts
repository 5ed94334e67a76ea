// A small document of an image (index, manifest, config) with its promise kept: exactly the announced size and digest.

import { digestAlgorithm, digestOf, requireSameDigest } from './digest.ts'
import { embeddedContent } from './embedded-content.ts'
import { OciError } from './errors.ts'
import { LIMITS } from './limits.ts'
import type { Descriptor } from './manifest.ts'

/** Whatever has documents: a registry's repository, or an archive. */
export interface DocumentSource {
  readDocument(descriptor: Descriptor, signal: AbortSignal | undefined): Promise<Buffer>
}

/**
 * Reads a document and verifies it; one that its descriptor carries along (`data`) is not asked for. `what` names it in
 * errors. Throws `oci.limit`, `oci.size-mismatch`, `oci.digest-mismatch`, and what the source throws.
 */
export async function readVerified(
  source: DocumentSource,
  descriptor: Descriptor,
  what: string,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  if (descriptor.size > LIMITS.configBytes) {
    throw new OciError('oci.limit', `Cannot read ${what}: ${descriptor.size} bytes are announced`, {
      data: { which: 'manifestBytes' },
    })
  }
  const bytes = embeddedContent(descriptor, what) ?? (await source.readDocument(descriptor, signal))
  if (bytes.length !== descriptor.size) {
    throw new OciError(
      'oci.size-mismatch',
      `Cannot accept ${what}: it has ${bytes.length} bytes, ${descriptor.size} were announced`,
    )
  }
  requireSameDigest(what, descriptor.digest, digestOf(bytes, digestAlgorithm(descriptor.digest)))
  return bytes
}
