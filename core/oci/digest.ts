// Content digests (image-spec descriptor.md "Digests"). A string becomes a `Digest` only through the check here, and
// only a `Digest` is ever put into a path or a URL (CVE-2024-3727 is what happens otherwise).

import { createHash, type Hash } from 'node:crypto'
import { OciError } from './errors.ts'

export type DigestAlgorithm = 'sha256' | 'sha512'

/** A checked digest: `sha256:` and 64, or `sha512:` and 128, lower-case hex digits. */
export type Digest = string & { readonly brand: 'Digest' }

const HEX_LENGTH: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 }
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

/** Whether the text is a digest that we accept. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text)
}

/** Checks a digest. `what` names it in the error, e.g. `layer 2`. Throws `oci.bad-digest`. */
export function parseDigest(text: string, what = 'digest'): Digest {
  if (isDigest(text)) return text
  throw new OciError(
    'oci.bad-digest',
    `Cannot use ${what} ${JSON.stringify(text.slice(0, 160))}: not a sha256 or sha512 digest`,
  )
}

/** The algorithm of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The hex digits of a digest: the name of its file under `blobs/<algorithm>/`. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The first twelve hex digits: how a digest is shown to people. */
export function shortDigest(digest: Digest): string {
  return digestHex(digest).slice(0, 12)
}

/** Puts algorithm and hex digits together, e.g. from a file name under `blobs/`. Throws `oci.bad-digest`. */
export function digestFromHex(algorithm: DigestAlgorithm, hex: string): Digest {
  if (hex.length !== HEX_LENGTH[algorithm])
    throw new OciError('oci.bad-digest', `Cannot use "${hex}" as ${algorithm} digest: wrong length`)
  return parseDigest(`${algorithm}:${hex}`)
}

/** Hashes bytes as they come by. */
export class Digester {
  readonly algorithm: DigestAlgorithm
  readonly #hash: Hash

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm
    this.#hash = createHash(algorithm)
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes)
  }

  /** The digest of all bytes so far; the digester cannot be used afterwards. */
  finish(): Digest {
    return digestFromHex(this.algorithm, this.#hash.digest('hex'))
  }
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  const digester = new Digester(algorithm)
  digester.update(bytes)
  return digester.finish()
}

/** Throws `oci.digest-mismatch` unless the two are equal. `what` names the content, e.g. `manifest of web:1`. */
export function requireSameDigest(what: string, expected: Digest, actual: Digest): void {
  if (expected === actual) return
  throw new OciError(
    'oci.digest-mismatch',
    `Cannot accept ${what}: its content hashes to ${actual}, not to ${expected}`,
    {
      data: { expected, actual },
    },
  )
}
