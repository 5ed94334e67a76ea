// Every failure of the image side (references, registry, store, import, layers, root images) is an OciError with one
// of these codes. The codes are stable: clients branch on them, people read the message and the hint.

import { BulkheadError, type ErrorDetails } from '../errors.ts'

export type OciErrorCode =
  | 'oci.bad-reference' // the text is no image reference
  | 'oci.bad-digest' // the text is no digest that we accept
  | 'oci.not-found' // no such image, tag, manifest or blob (data: where)
  | 'oci.ambiguous' // a short id or a removal fits several images (data: candidates)
  | 'oci.auth-required' // the registry wants credentials and none were given
  | 'oci.auth-failed' // the registry refused the credentials
  | 'oci.realm-not-trusted' // a token server that may not see the credentials (data: host)
  | 'oci.rate-limited' // HTTP 429 (data: retryAt)
  | 'oci.registry' // the registry answered something that it should not
  | 'oci.offline' // the registry cannot be reached
  | 'oci.tls' // the registry's certificate or TLS is not acceptable
  | 'oci.bad-proxy' // the address of a proxy cannot be used
  | 'oci.address-not-allowed' // a redirect or realm points at an address it must not reach
  | 'oci.no-platform' // no manifest for this machine (data: available)
  | 'oci.bad-key' // the text is no public key that signs images, or a weak one
  | 'oci.not-signed' // nobody has signed the image (data: digest, indexDigest)
  | 'oci.bad-signature' // no signature of the image is good (data: reasons), or not of each key (data: missingKeys)
  | 'oci.not-allowed' // the settings of the host reject images from there
  | 'oci.digest-mismatch' // bytes do not hash to their digest (data: expected, actual)
  | 'oci.size-mismatch' // more or fewer bytes than the descriptor says
  | 'oci.unsupported-media' // a media type or compression that we do not read (data: mediaType)
  | 'oci.limit' // an input exceeds a limit of ours (data: which)
  | 'oci.corrupt-image' // an index, manifest or config breaks its specification
  | 'oci.corrupt-layer' // a layer breaks its specification (data: layer, path, offset)
  | 'oci.corrupt-store' // the store on disk is not what we wrote
  | 'oci.bad-archive' // the bytes are no image archive
  | 'oci.no-space' // the disk is full (data: neededBytes, freeBytes)
  | 'oci.in-use' // something still uses what is to be removed
  | 'oci.cancelled' // the caller aborted
  | 'oci.worker-died' // the image worker ended while it worked on this
  | 'oci.internal' // a defect of ours

/** A failure of the image side: a stable code, a sentence with the values, and where possible a hint. */
export class OciError extends BulkheadError {
  declare readonly code: OciErrorCode

  constructor(code: OciErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }
}

/** Throws `oci.cancelled` when the signal has been aborted. `action` completes "Cannot …: cancelled". */
export function throwIfCancelled(signal: AbortSignal | undefined, action: string): void {
  if (signal?.aborted === true) throw cancelled(action, signal.reason)
}

/** The error of a call that its caller gave up. */
export function cancelled(action: string, cause?: unknown): OciError {
  return new OciError('oci.cancelled', `Cannot ${action}: cancelled`, { cause })
}

/** Turns a full disk into `oci.no-space`; every other error is returned as it is. */
export function fromDiskError(action: string, error: unknown): unknown {
  if (!hasCode(error, 'ENOSPC') && !hasCode(error, 'EDQUOT')) return error
  return new OciError('oci.no-space', `Cannot ${action}: the disk is full`, {
    hint: 'Free some space, or remove images that are no longer needed.',
    cause: error,
  })
}

/** Whether `error` is a system error with this code, e.g. `ENOENT`. */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
