// What can go wrong between Bulkhead and Xen, with a stable code for each kind.
import { BulkheadError, type ErrorDetails } from '../errors.ts'
import { isSystemError, SystemError } from '../sys/system-error.ts'

export type XenErrorReason =
  /** No Xen below, or this is not its control domain, or a module is missing. */
  | 'not-dom0'
  /** This Xen speaks a version of its control interface that is not in our table. */
  | 'unsupported-version'
  /** The hypervisor refused a call; `errorName` says how. */
  | 'hypercall-failed'
  /** xenstored refused a request; `errorName` says how. */
  | 'xenstore-failed'
  /** The connection to xenstored broke, or was closed. */
  | 'xenstore-lost'
  /** xenstored or a caller broke the protocol's rules. */
  | 'xenstore-protocol'
  | 'no-such-domain'
  /** A backend did not get ready, or did not let go, in time. */
  | 'device-failed'
  /** A page or port of a guest could not be mapped or bound. */
  | 'attach-failed'
  /** The guest broke the rules of a shared ring. */
  | 'guest-protocol'
  | 'ring-worker-failed'

export interface XenErrorDetails extends ErrorDetails {
  readonly errorName?: string
}

export class XenError extends BulkheadError {
  readonly reason: XenErrorReason
  /** The errno by name (`ENOMEM`) where Xen or xenstored gave one. */
  readonly errorName: string | undefined

  constructor(reason: XenErrorReason, message: string, details: XenErrorDetails = {}) {
    super(`xen.${reason}`, message, details)
    this.reason = reason
    this.errorName = details.errorName
  }
}

/** True for a XenError with one of these errno names. */
export function isXenError(error: unknown, ...errorNames: readonly string[]): error is XenError {
  return (
    error instanceof XenError &&
    (errorNames.length === 0 || (error.errorName !== undefined && errorNames.includes(error.errorName)))
  )
}

/** Turns a SystemError into a XenError of the given reason, keeping its sentence; passes others on. */
export function asXenError(error: unknown, reason: XenErrorReason, hint?: string): unknown {
  if (!(error instanceof SystemError) || !isSystemError(error)) return error
  return new XenError(reason, error.message, { errorName: error.errorName, hint, cause: error })
}
