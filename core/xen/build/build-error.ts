// The errors of domain building: a stable code, the action, and the values that made it fail.

import { BulkheadError, type ErrorDetails } from '../../errors.ts'

export type BuildErrorReason =
  /** The request itself cannot be met: command line too long, no vCPUs, memory out of range. */
  | 'invalid-request'
  /** The kernel asks for an arrangement that cannot be made. */
  | 'unusable-kernel'
  /** Kernel, initrd and tables do not fit into the guest's memory. */
  | 'guest-too-small'
  /** The hypervisor has not enough free memory. */
  | 'no-memory'
  /** The thread that builds domains died. */
  | 'worker-failed'

/** A domain that cannot be built; `code` is `build.` and the reason. */
export class BuildError extends BulkheadError {
  constructor(reason: BuildErrorReason, message: string, details: ErrorDetails = {}) {
    super(`build.${reason}`, message, details)
  }
}
