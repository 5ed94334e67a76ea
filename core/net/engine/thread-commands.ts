// What the engine's control thread and its packet thread say to each other: objects through a MessagePort, and an eventfd
// that wakes the packet thread's loop. Descriptors are numbers, since threads share them: who gets one owns it.
import type { NetworkSettings } from '../settings.ts'
import type { EngineFlow, EngineStats, ForwardMessage, GuestMessage } from './messages.ts'

export type ThreadCommand =
  | {
      readonly kind: 'start'
      readonly settings: NetworkSettings
      /** What the host calls its own: addresses and ranges, closed to guests. */
      readonly hostAddresses: readonly string[]
      readonly rawIcmp: { readonly ipv4: number | undefined; readonly ipv6: number | undefined }
    }
  | { readonly kind: 'host-addresses'; readonly addresses: readonly string[] }
  | { readonly kind: 'guest'; readonly guest: GuestMessage; readonly fd: number }
  /** Its wire and flows stay; what it may do is new. */
  | { readonly kind: 'guest-changed'; readonly guest: GuestMessage }
  | { readonly kind: 'guest-gone'; readonly id: string }
  | { readonly kind: 'forward'; readonly forward: Forward; readonly fd: number }
  | { readonly kind: 'forward-gone'; readonly forward: Forward }
  | {
      readonly kind: 'dns-answer'
      readonly guest: string
      readonly isIpv6: boolean
      readonly guestPort: number
      readonly bytes: Uint8Array
    }
  /** The DNS forwarder has closed one of the guest's streams. */
  | { readonly kind: 'dns-stream-closed'; readonly guest: string }
  | ({ readonly kind: 'call'; readonly call: number } & ThreadCall)
  /** From here on this thread may open files below these folders only, and only to read. */
  | { readonly kind: 'confine'; readonly folders: readonly string[] }
  | { readonly kind: 'stop' }

export type ThreadCall =
  | { readonly method: 'settle' }
  | { readonly method: 'stats' }
  | { readonly method: 'flows'; readonly guest: string | undefined }
  | {
      readonly method: 'capture'
      readonly guest: string
      readonly fd: number
      readonly frameBytes: number
      readonly limitBytes: number
    }
  | { readonly method: 'connect'; readonly guest: string; readonly port: number; readonly fd: number }

export type Forward = Omit<ForwardMessage, 'type'>

/** What the packet thread alone knows; the rest of EngineStats is the process's. */
export type ThreadStats = Pick<EngineStats, 'guests' | 'flows' | 'poolBytes'>

export type ThreadReport =
  /** It serves; `wakeFd` is to be signalled after each command. */
  | { readonly kind: 'ready'; readonly wakeFd: number }
  | { readonly kind: 'confined'; readonly missing: string | undefined }
  | {
      readonly kind: 'dns'
      readonly guest: string
      readonly isIpv6: boolean
      readonly guestPort: number
      readonly bytes: Uint8Array
    }
  /** A guest's connection to the gateway's port 53. */
  | { readonly kind: 'dns-stream'; readonly guest: string; readonly fd: number }
  | { readonly kind: 'device-lost'; readonly guest: string; readonly reason: string }
  | { readonly kind: 'part'; readonly call: number; readonly flows: readonly EngineFlow[] }
  | {
      readonly kind: 'result'
      readonly call: number
      readonly result: ThreadStats | readonly EngineFlow[] | null
    }
  | { readonly kind: 'error'; readonly call: number; readonly error: PlainError }
  | { readonly kind: 'log'; readonly message: string }

export interface PlainError {
  readonly code: string
  readonly message: string
  readonly hint?: string
}

export interface PacketThreadData {
  readonly commands: MessagePort
  /** The file of the flow journal, the thread's from now on. */
  readonly journalFd: number | undefined
}

type MessagePort = import('node:worker_threads').MessagePort
