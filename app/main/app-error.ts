// Failures of the app itself, beside those of the core host and of the way to it.
import { BulkheadError, type ErrorDetails } from '../../core/errors.ts'

export type AppErrorCode =
  | 'app.bad-request' // a page sent what no page of ours sends
  | 'app.not-connected' // there is no core host right now
  | 'app.cannot-start' // the core host or the lab did not start
  | 'app.file' // a file that the person chose cannot be read

export class AppError extends BulkheadError {}

export function appError(code: AppErrorCode, message: string, details: ErrorDetails = {}): AppError {
  return new AppError(code, message, details)
}
