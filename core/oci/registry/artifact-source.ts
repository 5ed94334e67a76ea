// What belongs to an image beside its layers (signatures, attestations), as a repository of a registry offers it.

import type { Digest } from '../digest.ts'
import type { Descriptor } from '../manifest.ts'

export interface ArtifactSource {
  /** `registry/repository`, for messages. */
  readonly name: string
  /**
   * What refers to a manifest (distribution-spec "Listing Referrers"), all pages; from the fallback tag
   * (`sha256-<hex>`) where the registry has no such API. Empty when there is nothing.
   */
  referrers(subject: Digest, artifactType?: string, signal?: AbortSignal): Promise<readonly Descriptor[]>
  /** The bytes of a manifest by tag or digest with their digest, verified when asked for by digest; undefined when there is none. */
  manifest(
    key: string,
    signal?: AbortSignal,
  ): Promise<{ readonly bytes: Buffer; readonly digest: Digest; readonly mediaType: string } | undefined>
  /** A small blob, verified. Throws `oci.limit` beyond `limitBytes`, `oci.digest-mismatch`. */
  blob(descriptor: Descriptor, limitBytes: number, signal?: AbortSignal): Promise<Buffer>
}
