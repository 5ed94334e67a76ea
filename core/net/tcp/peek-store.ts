// The send store that keeps nothing: bytes stay in the kernel's receive buffer until the guest has acknowledged them. They
// are looked at through one buffer for all flows, which stays in the processor's cache, and what is acknowledged is thrown
// away unread. Needs SO_PEEK_OFF for TCP (Linux 6.9, for IPv6 6.11): without it every look begins at the oldest byte.
import { EAGAIN } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { SendStore } from './send-store.ts'
import { LARGE_SLOT_BYTES } from './slot-pool.ts'
import type { StreamSockets } from './stream-sockets.ts'

/** Valid between one look and the sending of the frame that follows it. */
const shared = new PinnedBuffer(LARGE_SLOT_BYTES)

export class PeekStore implements SendStore {
  end = 0
  readonly buffer = shared
  readonly offset = 0
  length = 0
  wasShort = false
  readonly #sockets: StreamSockets
  #fd = -1
  /** The oldest byte that the kernel still has, and the one that a look shows next. */
  #start = 0
  #lookAt = 0

  constructor(sockets: StreamSockets) {
    this.#sockets = sockets
  }

  begin(sequence: number): void {
    this.end = sequence
    this.#start = sequence
    this.#lookAt = sequence
  }

  fill(fd: number, wantBytes: number): number {
    if (this.#fd < 0) {
      this.#fd = fd
      this.#sockets.setPeekOffset(fd, 0)
    }
    const want = wantBytes < LARGE_SLOT_BYTES ? wantBytes : LARGE_SLOT_BYTES
    const count = this.#look(this.end, want)
    if (count <= 0) return count
    this.wasShort = count < want
    this.end = (this.end + count) | 0
    return count
  }

  find(sequence: number): boolean {
    const bytes = (this.end - sequence) | 0
    if (bytes <= 0 || ((sequence - this.#start) | 0) < 0) return false
    return this.#look(sequence, bytes < LARGE_SLOT_BYTES ? bytes : LARGE_SLOT_BYTES) > 0
  }

  release(sequence: number): void {
    const upTo = ((sequence - this.end) | 0) > 0 ? this.end : sequence
    const bytes = (upTo - this.#start) | 0
    if (bytes <= 0) return
    // The kernel moves its peek offset back by as much.
    this.#sockets.discard(this.#fd, bytes)
    this.#start = upTo
    if (((this.#lookAt - upTo) | 0) < 0) this.#lookAt = upTo
  }

  clear(): void {
    this.#start = this.end
  }

  #look(sequence: number, want: number): number {
    if (this.#lookAt !== sequence) {
      this.#sockets.setPeekOffset(this.#fd, (sequence - this.#start) | 0)
      this.#lookAt = sequence
    }
    const count = this.#sockets.peek(this.#fd, this.buffer, 0, want)
    if (count > 0) {
      this.length = count
      this.#lookAt = (sequence + count) | 0
    }
    return count === 0 && ((this.end - sequence) | 0) > 0 ? -EAGAIN : count
  }
}
