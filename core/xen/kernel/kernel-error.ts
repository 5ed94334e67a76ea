// The errors of kernel images and guest modules: each has a stable code, the action, and the values that made
// it fail.

import { BulkheadError, type ErrorDetails } from '../../errors.ts'

export type KernelErrorReason =
  | 'unreadable'
  | 'not-a-kernel'
  | 'malformed'
  | 'too-large'
  | 'unsupported-compression'
  | 'decompression-failed'
  | 'no-xen-support'
  | 'no-modules'
  | 'initrd-entry'

/** A kernel image, kernel module or initrd that cannot be used; `code` is `kernel.` and the reason. */
export class KernelError extends BulkheadError {
  constructor(reason: KernelErrorReason, message: string, details: ErrorDetails = {}) {
    super(`kernel.${reason}`, message, details)
  }
}
