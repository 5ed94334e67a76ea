// Memory for bytes on their way: slots of 64 KiB and of 2 KiB, shared by all flows. The slot that was given back last is
// taken first, so a flow with little in flight works in the processor's cache. What one guest holds is bounded, so that a
// guest that never acknowledges starves nobody else.
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'

export const LARGE_SLOT_BYTES = 65_536
/** For flows that say little at a time: thousands of them must not hold 64 KiB each. */
export const SMALL_SLOT_BYTES = 2_048

/** Who is charged for slots: a guest. */
export interface SlotHolder {
  heldBytes: number
}

export class Slot {
  readonly buffer: PinnedBuffer
  readonly sizeBytes: number
  /** The sequence number of its first byte. */
  sequence = 0
  /** What lies before was consumed already. */
  start = 0
  /** Where the next byte goes. */
  used = 0
  next: Slot | undefined = undefined

  constructor(sizeBytes: number) {
    this.buffer = new PinnedBuffer(sizeBytes)
    this.sizeBytes = sizeBytes
  }
}

export class SlotPool {
  readonly limitBytes: number
  readonly holderLimitBytes: number
  usedBytes = 0
  /** Somebody was refused a slot; whoever serves those that wait resets it. */
  hasRefused = false
  #large: Slot | undefined = undefined
  #small: Slot | undefined = undefined
  #freeBytes = 0

  /** At most `limitBytes` in use by all, `holderLimitBytes` by one. */
  constructor(limitBytes: number, holderLimitBytes: number) {
    this.limitBytes = limitBytes
    this.holderLimitBytes = holderLimitBytes
  }

  /** An empty slot of LARGE_SLOT_BYTES or SMALL_SLOT_BYTES, or undefined when the pool's or the holder's bound is met. */
  take(holder: SlotHolder, sizeBytes: number): Slot | undefined {
    if (
      this.usedBytes + sizeBytes > this.limitBytes ||
      holder.heldBytes + sizeBytes > this.holderLimitBytes
    ) {
      this.hasRefused = true
      return undefined
    }
    this.usedBytes += sizeBytes
    holder.heldBytes += sizeBytes
    const isLarge = sizeBytes === LARGE_SLOT_BYTES
    const slot = isLarge ? this.#large : this.#small
    if (slot === undefined) {
      // Memory that was made never exceeds the limit: free slots of the other size make way.
      if (this.usedBytes + this.#freeBytes > this.limitBytes) this.#forget(!isLarge)
      return new Slot(sizeBytes)
    }
    this.#freeBytes -= sizeBytes
    if (isLarge) this.#large = slot.next
    else this.#small = slot.next
    slot.sequence = 0
    slot.start = 0
    slot.used = 0
    slot.next = undefined
    return slot
  }

  give(holder: SlotHolder, slot: Slot): void {
    this.usedBytes -= slot.sizeBytes
    holder.heldBytes -= slot.sizeBytes
    this.#freeBytes += slot.sizeBytes
    if (slot.sizeBytes === LARGE_SLOT_BYTES) {
      slot.next = this.#large
      this.#large = slot
    } else {
      slot.next = this.#small
      this.#small = slot
    }
  }

  #forget(large: boolean): void {
    let slot = large ? this.#large : this.#small
    while (slot !== undefined && this.usedBytes + this.#freeBytes > this.limitBytes) {
      this.#freeBytes -= slot.sizeBytes
      slot = slot.next
    }
    if (large) this.#large = slot
    else this.#small = slot
  }
}
