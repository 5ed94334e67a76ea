// What the dispatcher hands frames to. A frame that arrives here has been checked: its lengths agree, its source is the
// guest's, its destination is a place that is not another guest.
import type { Frame } from '../frame/frame.ts'
import type { GuestPort } from '../guest-port.ts'

export interface ProtocolHandler {
  /** Handles one frame. What it needs of it must be copied or sent before it returns. */
  frame(port: GuestPort, frame: Frame): void
  /** The guest is gone, or its device is: everything of it is let go, sockets of TCP with a reset. */
  portGone(port: GuestPort): void
}

/** One flow as `bulkhead net flows` shows it. */
export interface FlowReport {
  readonly port: GuestPort
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  readonly direction: 'out' | 'in'
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  /** Of ICMP the identifier, as the guest chose it. */
  readonly guestPort: number
  readonly remotePort: number
  readonly state: string
  readonly inBytes: number
  readonly outBytes: number
  readonly startedAtMs: number
  readonly activeAtMs: number
}

export interface FlowSource {
  readonly flowCount: number
  flowCountOf(port: GuestPort): number
  reports(): Iterable<FlowReport>
}
