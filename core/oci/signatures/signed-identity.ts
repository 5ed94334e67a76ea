// The name that a signer gave an image, compared with the name it is asked for by. It keeps a signed image of one
// repository from being passed off as that of another under the same key (containers-policy.json(5) "signedIdentity").

import { type ImageReference, parseReference } from '../reference.ts'
import { canonicalRepository } from './canonical-repository.ts'

/**
 * `exact-repository`: the signature names this repository. `if-named`: it may also name none (bundles of cosign 3 do
 * not). `any`: whatever it names.
 */
export const SIGNED_IDENTITIES = ['exact-repository', 'if-named', 'any'] as const
export type SignedIdentity = (typeof SIGNED_IDENTITIES)[number]

/** Why the name does not do; undefined when it does. Tags are not compared: the digest already is. */
export function identityFault(
  signedReference: string | undefined,
  reference: ImageReference,
  identity: SignedIdentity,
): string | undefined {
  if (identity === 'any') return undefined
  if (signedReference === undefined)
    return identity === 'if-named' ? undefined : 'it names no repository, and one is asked for'
  const signed = parseName(signedReference)
  // What is no name is not repeated: it may be written to look like something else on a terminal.
  if (signed === undefined) return 'it was made for something that is no name of an image'
  if (canonicalRepository(signed) === canonicalRepository(reference)) return undefined
  return `it was made for "${signedReference}"`
}

/** The name in a signature as it may be shown to people: nothing where it is none. */
export function shownName(signedReference: string | undefined): string | undefined {
  return signedReference === undefined || parseName(signedReference) === undefined
    ? undefined
    : signedReference
}

function parseName(text: string): ImageReference | undefined {
  try {
    return parseReference(text)
  } catch {
    // Whatever it is, it is not the name of this repository.
    return undefined
  }
}
