// Errors of the network.
import { BulkheadError, type ErrorDetails } from '../errors.ts'

export type NetErrorCode =
  /** Not an address, range, MAC or port. */
  | 'net.bad-address'
  /** Settings that cannot be used. */
  | 'net.bad-settings'
  /** The subnets overlap with the host's own networks. */
  | 'net.conflict'
  /** No address of the subnet is free. */
  | 'net.no-address'
  /** A port of the host that is taken, or that may not be bound. */
  | 'net.port-taken'
  /** The engine does not run, or ended in the middle of a call. */
  | 'net.engine-died'
  /** The other side broke the control protocol. */
  | 'net.protocol'
  /** The guest has no network, or is not known to the engine. */
  | 'net.no-guest'
  /** Nobody took the connection. */
  | 'net.unreachable'
  /** A connection to a guest's port was broken off. */
  | 'net.connection-reset'
  /** A device, namespace or socket could not be made. */
  | 'net.device'
  /** A capture that cannot be made. */
  | 'net.capture'

export class NetError extends BulkheadError {
  declare readonly code: NetErrorCode

  constructor(code: NetErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }
}
