// Bytes that were acknowledged to the guest and that the host's socket did not take yet. They are bounded by the window
// that the guest was told, and by what its slots may hold.
import { EAGAIN } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { LARGE_SLOT_BYTES, type Slot, type SlotHolder, type SlotPool, SMALL_SLOT_BYTES } from './slot-pool.ts'
import type { StreamSockets } from './stream-sockets.ts'

export class WaitingBytes {
  sizeBytes = 0
  readonly #pool: SlotPool
  readonly #holder: SlotHolder
  #head: Slot | undefined = undefined
  #tail: Slot | undefined = undefined

  constructor(pool: SlotPool, holder: SlotHolder) {
    this.#pool = pool
    this.#holder = holder
  }

  /** Keeps a copy: how many bytes of it there was room for. */
  append(buffer: PinnedBuffer, offset: number, length: number): number {
    let done = 0
    while (done < length) {
      let slot = this.#tail
      if (slot === undefined || slot.used === slot.sizeBytes) {
        slot = this.#pool.take(
          this.#holder,
          length - done > SMALL_SLOT_BYTES || this.sizeBytes > SMALL_SLOT_BYTES
            ? LARGE_SLOT_BYTES
            : SMALL_SLOT_BYTES,
        )
        if (slot === undefined) break
        if (this.#tail === undefined) this.#head = slot
        else this.#tail.next = slot
        this.#tail = slot
      }
      const part = Math.min(length - done, slot.sizeBytes - slot.used)
      slot.buffer.bytes.set(buffer.bytes.subarray(offset + done, offset + done + part), slot.used)
      slot.used += part
      done += part
      this.sizeBytes += part
    }
    return done
  }

  /** Gives the socket what it takes: 0 when nothing waits any more, -EAGAIN when it is full, or another negative errno. */
  flush(sockets: StreamSockets, fd: number): number {
    for (let slot = this.#head; slot !== undefined; slot = this.#head) {
      const count = sockets.send(fd, slot.buffer, slot.start, slot.used - slot.start)
      if (count < 0) return count
      slot.start += count
      this.sizeBytes -= count
      if (slot.start < slot.used) return -EAGAIN
      this.#head = slot.next
      if (this.#head === undefined) this.#tail = undefined
      this.#pool.give(this.#holder, slot)
    }
    return 0
  }

  clear(): void {
    for (let slot = this.#head; slot !== undefined; slot = this.#head) {
      this.#head = slot.next
      this.#pool.give(this.#holder, slot)
    }
    this.#tail = undefined
    this.sizeBytes = 0
  }
}
