// What a flow table knows of a flow: its key. Flows are objects made once for each flow, never per frame.

export interface TableFlow {
  /** GuestPort.index */
  readonly guestIndex: number
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
}
