// What the core host and the network engine say to each other. docs/contracts/net.md.
// A message is a u32 length (little endian) and that many bytes of JSON; descriptors travel beside its first byte
// (SCM_RIGHTS, unix(7)). The core host sends everything again on each new connection and ends with `synced`: the engine
// keeps what it has of it, adds what is new and lets go of the rest, so either side may be started again at any time.
import type { NetworkSettings } from '../settings.ts'

export const protocolVersion = 1

/** Characters of a sentence in a message. */
export const LONGEST_TEXT = 4096

export interface PolicyRule {
  readonly action: 'allow' | 'deny'
  /** Address, range or `any`. */
  readonly range: string
  readonly protocol?: 'tcp' | 'udp' | 'icmp'
  readonly ports?: readonly [first: number, last: number]
}

/**
 * A guest's wire. Comes with one descriptor, of its packet socket or its TAP with virtio-net headers switched on; with none
 * where `ready` named the guest: then its wire and its flows stay, and what it may do is as this message says.
 */
export interface GuestMessage {
  readonly type: 'guest'
  readonly id: string
  readonly name: string
  readonly mac: string
  readonly ipv4: string
  readonly ipv6: string
  readonly mtu: number
  readonly device: 'packet' | 'tap'
  /** `foreign`: configured by DHCP and router advertisements, not by guest-init. */
  readonly configuration: 'static' | 'foreign'
  readonly guests: boolean
  readonly policy: readonly PolicyRule[]
  /** Search domains for DHCP and router advertisements. */
  readonly search: readonly string[]
}

/** A published port. Comes with the descriptor of the bound socket (TCP: listening), unless the engine has it already. */
export interface ForwardMessage {
  readonly type: 'forward'
  readonly guest: string
  readonly protocol: 'tcp' | 'udp'
  /** As bound: an address, never empty; `hostPort` is never 0. */
  readonly bind: string
  readonly hostPort: number
  readonly guestPort: number
}

export type ToEngine =
  /** The first message. Comes with raw ICMP sockets, IPv4's first, of those families that are true. */
  | {
      readonly type: 'hello'
      readonly protocol: number
      readonly settings: NetworkSettings
      readonly rawIcmp: { readonly ipv4: boolean; readonly ipv6: boolean }
    }
  | GuestMessage
  | { readonly type: 'guest-gone'; readonly id: string }
  | ForwardMessage
  | (Omit<ForwardMessage, 'type'> & { readonly type: 'forward-gone' })
  /** All was sent: of what the engine had before, what was not named again goes. */
  | { readonly type: 'synced' }
  | { readonly type: 'end' }
  | ({ readonly type: 'call'; readonly call: number } & EngineCall)

export type EngineCall =
  /** Answers when all that was said before is done. */
  | { readonly method: 'settle' }
  | { readonly method: 'stats' }
  | { readonly method: 'flows'; readonly guest?: string }
  /** Comes with a descriptor that pcapng is written to; frames that it does not take at once are dropped and counted. */
  | {
      readonly method: 'capture'
      readonly guest: string
      readonly frameBytes: number
      readonly limitBytes: number
    }
  /** Comes with one end of a socket pair that is joined to the guest's TCP port. Answers when the guest has accepted. */
  | { readonly method: 'connect'; readonly guest: string; readonly port: number }

export type FromEngine =
  /** The answer to `hello`: what it has from before. */
  | {
      readonly type: 'ready'
      readonly protocol: number
      readonly version: string
      readonly startedAt: string
      readonly guests: readonly string[]
      readonly forwards: readonly Omit<ForwardMessage, 'type'>[]
    }
  /** A piece of a result that is a list; `result` follows the last with what is left of it. */
  | { readonly type: 'part'; readonly call: number; readonly items: readonly unknown[] }
  | { readonly type: 'result'; readonly call: number; readonly result: unknown }
  | {
      readonly type: 'error'
      readonly call: number
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
    }
  /** The guest's device is gone (ENETDOWN, ENODEV): its flows are closed. */
  | { readonly type: 'device-lost'; readonly guest: string; readonly reason: string }
  | { readonly type: 'log'; readonly message: string }

/** Result of `stats`. Bytes and frames are of whole frames from their Ethernet header on. */
export interface EngineStats {
  readonly guests: readonly {
    readonly guest: string
    readonly inBytes: number
    readonly outBytes: number
    readonly inFrames: number
    readonly outFrames: number
    readonly tcpFlows: number
    readonly udpFlows: number
    readonly pingFlows: number
    readonly flowsOpened: number
    readonly retransmissions: number
    readonly drops: Readonly<Record<string, number>>
  }[]
  readonly residentBytes: number
  readonly cpuTimeMs: number
  readonly flows: number
  readonly poolBytes: number
  readonly descriptors: number
}

/** Result of `flows`. */
export interface EngineFlow {
  readonly guest: string
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  readonly direction: 'out' | 'in'
  readonly guestEnd: string
  readonly remoteEnd: string
  readonly state: string
  readonly inBytes: number
  readonly outBytes: number
  readonly ageMs: number
  readonly idleMs: number
}
