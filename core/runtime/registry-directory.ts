// What the runtime asks the host about a registry before it speaks to it.
import type { ImageReference } from '../oci/reference.ts'
import type { RegistryAccess } from '../oci/registry/registry-access.ts'
import type { SignaturePolicies } from '../oci/signatures/policy.ts'

/** What a client may send along; the rest is the host's to say. */
export type RegistryRequest = Omit<RegistryAccess, 'mirrors' | 'foreignLayers'>

export interface ResolvedAccess {
  readonly access: RegistryAccess
  /** Which images have to be signed. */
  readonly signatures: SignaturePolicies
}

export interface RegistryDirectory {
  /** Throws what is wrong with the host's settings. */
  check(): Promise<void>
  /** How to reach a repository's registry. */
  resolve(
    reference: Pick<ImageReference, 'registry' | 'repository'>,
    request: RegistryRequest,
  ): Promise<ResolvedAccess>
}
