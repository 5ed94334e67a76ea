// The base of every error that crosses a border in Bulkhead: a stable code for programs, one sentence for
// people, and a hint that says what to do about it.

export interface ErrorDetails {
  readonly hint?: string | undefined
  readonly data?: Readonly<Record<string, unknown>> | undefined
  readonly cause?: unknown
}

/** An error with a stable `code` (`area.reason`), a sentence with the values, and optionally what to do. */
export class BulkheadError extends Error {
  readonly code: string
  readonly hint: string | undefined
  readonly data: Readonly<Record<string, unknown>> | undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = new.target.name
    this.code = code
    this.hint = details.hint
    this.data = details.data
  }
}
