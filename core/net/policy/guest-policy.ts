// What one guest may reach, asked once for each new flow.

export type PolicyVerdict =
  | 'allowed'
  /** A place that is closed to every guest: the host's own addresses, loopback, link-local, multicast, reserved. */
  | 'closed-range'
  /** A rule of this guest's list says no. */
  | 'policy'

export interface GuestPolicy {
  /**
   * May this guest open a flow to this address? The words as in address.ts; `protocol` is IP's number; `port` is 0 where
   * there is none. Guests and the gateway are not asked about here: they are not places behind the gateway.
   */
  verdict(
    destination0: number,
    destination1: number,
    destination2: number,
    destination3: number,
    protocol: number,
    port: number,
  ): PolicyVerdict
}
