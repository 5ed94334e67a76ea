// How the app stands to its core host, as the page shows it.
import type { ErrorBody } from '../../core/api/methods.ts'

/** Which core host: for the host switcher in the sidebar. */
export interface HostLabel {
  readonly kind: 'local' | 'lab' | 'socket' | 'none'
  /** In a sentence: `the lab`. */
  readonly label: string
}

export type ConnectAction = 'retry' | 'start-core' | 'start-lab'

export type ConnectionStatus =
  | { readonly state: 'connecting'; readonly host: HostLabel }
  | {
      /** A core host or a lab is being started. */
      readonly state: 'starting'
      readonly host: HostLabel
      readonly step: string
    }
  | {
      readonly state: 'ready'
      readonly host: HostLabel
      readonly version: string
      /** Grows with each connection: everything known before it must be fetched again. */
      readonly session: number
    }
  | {
      readonly state: 'failed'
      readonly host: HostLabel
      readonly error: ErrorBody
      readonly actions: readonly ConnectAction[]
      /** When the app tries again by itself, in milliseconds since the epoch. */
      readonly retryAt: number
    }
