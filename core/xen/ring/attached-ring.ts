// What the ring worker's loop knows of a ring that is attached, console or channel.
import type { EventChannelDevice } from '../event-channel-device.ts'
import type { GrantDevice } from '../grant-device.ts'
import type { Privcmd } from '../privcmd.ts'
import type { RingReport } from './ring-messages.ts'

/** Opened once for all rings. */
export interface RingDevices {
  readonly events: EventChannelDevice
  readonly grants: GrantDevice
  readonly privcmd: Privcmd
}

export type SendReport = (report: RingReport) => void

export interface ServiceResult {
  /** Something came from the guest, or the guest took something. */
  readonly hasMoved: boolean
  /** There is more, left for the other rings' sake. */
  readonly hasMore: boolean
}

/** Each method throws XenError when the guest breaks the ring's rules. */
export interface AttachedRing {
  readonly localPort: number
  /** Size of the ring toward the guest, and how much of it was taken at the start; 0 for a console. */
  readonly toGuestBytes: number
  readonly usedBytes: number
  /** Moves what can be moved, up to a limit. */
  service(): ServiceResult
  write(bytes: Uint8Array): void
  /** Reports all that is in the ring now, a ring's length at most. */
  drain(): void
  /** Unmaps, closes the port. Once. */
  release(): void
}
