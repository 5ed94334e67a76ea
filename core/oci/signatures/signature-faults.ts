// Which failures are the fault of one signature, so that the next one is looked at, and which end the whole check: a
// registry that does not answer must not look like an image that nobody signed.

import { OciError, type OciErrorCode } from '../errors.ts'

const FAULTS_OF_CONTENT: ReadonlySet<OciErrorCode> = new Set([
  'oci.bad-digest',
  'oci.corrupt-image',
  'oci.digest-mismatch',
  'oci.limit',
  'oci.not-found',
  'oci.size-mismatch',
  'oci.unsupported-media',
])

/** What is wrong with the signature, as a sentence; throws the error again when the signature is not to blame. */
export function faultOf(error: unknown): string {
  if (error instanceof OciError && FAULTS_OF_CONTENT.has(error.code)) return error.message
  throw error
}
