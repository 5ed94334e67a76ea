// The lab's failures: what could not be done, with the values, and what the reader can do about it.

import { BulkheadError } from '../core/errors.ts'

/** A failure of the built-in lab; codes are `lab.missing-tool`, `lab.packages`, `lab.boot`, `lab.option` and so on. */
export class LabError extends BulkheadError {}
