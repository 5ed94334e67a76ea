// The send store in slots of the pool: the socket is read straight into a slot, frames leave straight from it, and it goes
// back when the guest has acknowledged its last byte. No byte is copied in JavaScript.
import { ENOBUFS } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { SendStore } from './send-store.ts'
import { LARGE_SLOT_BYTES, type Slot, type SlotHolder, type SlotPool, SMALL_SLOT_BYTES } from './slot-pool.ts'
import type { StreamSockets } from './stream-sockets.ts'

/** A slot that is fuller is not read into any more: large reads make large frames. */
const SHARED_LARGE_BYTES = LARGE_SLOT_BYTES / 4
const SHARED_SMALL_BYTES = SMALL_SLOT_BYTES / 2
/** A read that brings no more is small talk: the next one goes into a small slot. */
const SMALL_READ_BYTES = SMALL_SLOT_BYTES / 2

export class SlotStore implements SendStore {
  end = 0
  buffer: PinnedBuffer
  offset = 0
  length = 0
  wasShort = false
  readonly #pool: SlotPool
  readonly #holder: SlotHolder
  readonly #sockets: StreamSockets
  #head: Slot | undefined = undefined
  #tail: Slot | undefined = undefined
  #isSmallTalk = false

  /** `nothing` is any buffer: pointed at while nothing is stored. */
  constructor(pool: SlotPool, holder: SlotHolder, sockets: StreamSockets, nothing: PinnedBuffer) {
    this.#pool = pool
    this.#holder = holder
    this.#sockets = sockets
    this.buffer = nothing
  }

  begin(sequence: number): void {
    this.end = sequence
  }

  fill(fd: number, wantBytes: number): number {
    let slot = this.#tail
    let isFresh = false
    if (slot === undefined || !this.#hasRoom(slot)) {
      slot = this.#pool.take(this.#holder, this.#isSmallTalk ? SMALL_SLOT_BYTES : LARGE_SLOT_BYTES)
      if (slot === undefined) return -ENOBUFS
      slot.sequence = this.end
      isFresh = true
    }
    const room = slot.sizeBytes - slot.used
    const want = wantBytes < room ? wantBytes : room
    const count = this.#sockets.receive(fd, slot.buffer, slot.used, want)
    if (count <= 0) {
      if (isFresh) this.#pool.give(this.#holder, slot)
      return count
    }
    if (isFresh) {
      if (this.#tail === undefined) this.#head = slot
      else this.#tail.next = slot
      this.#tail = slot
    }
    this.wasShort = count < want
    this.#isSmallTalk = this.wasShort && count <= SMALL_READ_BYTES
    this.buffer = slot.buffer
    this.offset = slot.used
    this.length = count
    slot.used += count
    this.end = (this.end + count) | 0
    return count
  }

  find(sequence: number): boolean {
    for (let slot = this.#head; slot !== undefined; slot = slot.next) {
      const at = (sequence - slot.sequence) | 0
      if (at >= slot.used) continue
      if (at < 0) return false
      this.buffer = slot.buffer
      this.offset = at
      this.length = slot.used - at
      return true
    }
    return false
  }

  release(sequence: number): void {
    let slot = this.#head
    while (slot !== undefined && ((slot.sequence + slot.used - sequence) | 0) <= 0) {
      const { next } = slot as { next: Slot | undefined }
      this.#pool.give(this.#holder, slot)
      slot = next
    }
    this.#head = slot
    if (slot === undefined) this.#tail = undefined
  }

  clear(): void {
    this.release(this.end)
  }

  #hasRoom(slot: Slot): boolean {
    if (slot.sizeBytes === LARGE_SLOT_BYTES) return slot.used <= SHARED_LARGE_BYTES
    return this.#isSmallTalk && slot.used <= SHARED_SMALL_BYTES
  }
}
