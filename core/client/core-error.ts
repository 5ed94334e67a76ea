// What goes wrong between a client and the core host. Errors that the core host sent keep its code; errors that
// arise on this side have one of the `client.*` codes below.
import { BulkheadError, type ErrorDetails } from '../errors.ts'

export type ClientErrorCode =
  | 'client.file' // a file of the user's cannot be read or written
  | 'client.credentials' // a credential helper failed
  | 'client.bad-host' // the text names no host that we know how to reach
  | 'client.no-host' // nothing was named, this is no dom0 and no lab runs
  | 'client.no-lab' // a lab was named that does not run
  | 'client.no-socket' // there is no socket at the path
  | 'client.not-running' // there is a socket and nobody behind it
  | 'client.no-access' // the socket may not be opened by this user
  | 'client.unreachable' // any other failure of the operating system
  | 'client.timeout' // somebody took the connection and did not answer
  | 'client.not-core' // what answers is no core host
  | 'client.wrong-protocol' // a core host of another protocol version
  | 'client.unsupported' // the core host does not know the method
  | 'client.connection-lost' // the core host went away
  | 'client.bad-frame' // the core host sent what the contract does not allow
  | 'client.cancelled' // the caller gave up
  | 'client.closed' // the caller closed it before

/** A failure of the core host or of the way to it: `code` is the core host's own, or a `ClientErrorCode`. */
export class CoreError extends BulkheadError {}

/** An error that arose on the client's side. */
export function clientError(code: ClientErrorCode, message: string, details: ErrorDetails = {}): CoreError {
  return new CoreError(code, message, details)
}

/**
 * An error that came over the wire (`{code, message, hint?, data?}`), made anew. `fallback` completes what a body
 * without a code or a message leaves out.
 */
export function coreErrorFromBody(body: unknown, fallback: { code: string; message: string }): CoreError {
  const { code, message, hint, data } = isRecord(body) ? body : {}
  return new CoreError(
    typeof code === 'string' ? code : fallback.code,
    typeof message === 'string' && message !== '' ? message : fallback.message,
    {
      hint: typeof hint === 'string' && hint !== '' ? hint : undefined,
      data: isRecord(data) ? data : undefined,
    },
  )
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
