// Failures of the server around the runtime.
import { BulkheadError } from '../errors.ts'

/** The core host cannot listen, or refuses a caller; `code` begins with `host.`. */
export class HostError extends BulkheadError {}
