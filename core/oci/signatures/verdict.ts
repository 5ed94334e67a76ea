// What is asked of a signature, and what a look at it comes to: it is good, or there is a sentence on why it is not.

import { type Digest, isDigest } from '../digest.ts'
import type { ImageReference } from '../reference.ts'
import type { PublicKey } from './public-key.ts'
import type { SignedIdentity } from './signed-identity.ts'

/** What a signature has to be of and by. */
export interface Expected {
  /** The manifest or index that must have been signed. */
  readonly subject: Digest
  /** The name that the image is asked for by. */
  readonly reference: ImageReference
  readonly keys: readonly PublicKey[]
  readonly identity: SignedIdentity
}

export interface GoodSignature {
  readonly format: 'simple-signing' | 'bundle'
  /** SHA-256 of the public key (DER SubjectPublicKeyInfo), in hex digits. */
  readonly keyId: string
  /** The name that the signer gave the image, where the signature has one. */
  readonly signedReference?: string | undefined
}

export type Verdict =
  | { readonly isGood: true; readonly signature: GoodSignature }
  | { readonly isGood: false; readonly reason: string }

/** The verdict on a signature that does not count. `reason` is a clause: "it was made for …". */
export function notGood(reason: string): Verdict {
  return { isGood: false, reason: reason.slice(0, LONGEST_REASON) }
}

/** Reasons quote what was found, and that may be as long as it likes. */
const LONGEST_REASON = 400

/** The verdict on a signature that none of the keys has made. */
export function madeWithUnknownKey({ keys }: Expected): Verdict {
  const which =
    keys.length === 1 ? 'the key that was expected' : `any of the ${keys.length} keys that were expected`
  return notGood(`it was not made with ${which}`)
}

/** The verdict on a signature of something else. `digest` is what it gives as the image's digest. */
export function ofAnotherImage(digest?: string): Verdict {
  return notGood(`it is of another image${digest !== undefined && isDigest(digest) ? `, ${digest}` : ''}`)
}
