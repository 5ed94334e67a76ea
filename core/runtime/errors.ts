// Failures of the guest runtime.
import { BulkheadError } from '../errors.ts'

/** A guest cannot be made, started, stopped or found; `code` begins with `guest.` or `stream.`. */
export class GuestError extends BulkheadError {}
