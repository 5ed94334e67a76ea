// Telling a guest that something cannot be reached, in ICMP and ICMPv6. RFC 792, RFC 1812 §4.3.2, RFC 4443 §2.4.
import type { Frame } from '../frame/frame.ts'
import type { GuestPort } from '../guest-port.ts'

export type IcmpErrorKind =
  | 'network-unreachable'
  | 'host-unreachable'
  | 'port-unreachable'
  | 'protocol-unreachable'
  | 'prohibited'
  | 'too-big'
  | 'hop-limit'
  | 'reassembly-time'

export interface IcmpErrors {
  /** About the frame in hand. `mtu` only with `too-big`. */
  answer(port: GuestPort, frame: Frame, kind: IcmpErrorKind, mtu?: number): void
  /**
   * About a packet of an earlier turn, which is put together again from its flow: IP header and the first eight bytes of the
   * transport's (`sequence`: of TCP).
   */
  about(port: GuestPort, packet: QuotedPacket, kind: IcmpErrorKind, mtu?: number): void
}

/** A packet that the guest sent to `remote`. */
export interface QuotedPacket {
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly protocol: number
  readonly guestPort: number
  readonly remotePort: number
  readonly sequence: number
}
