// Constants of the wire between clients and the core host. docs/contracts/control.md.

export const protocolVersion = 1
export const rpcLine = 'rpc 1'
/** Longest first line of a connection, in bytes, without its newline. */
export const maxFirstLineBytes = 256
export const defaultSocketPath = '/run/bulkhead/core.sock'

/** JSON-RPC error number of every failure that is ours; `data.code` says which. */
export const applicationError = -32000

/** What the core host answers to a first line that it takes. */
export interface AcceptedRpc {
  readonly protocol: number
  readonly version: string
}

/** What the core host answers to `stream TICKET`. */
export interface AcceptedStream {
  readonly kind: 'stdio' | 'console' | 'logs' | 'import' | 'export' | 'capture' | 'connect'
  /** Bytes that may be on the way beyond the last acknowledgement. */
  readonly window: number
  readonly terminal: boolean
}
