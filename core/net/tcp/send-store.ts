// What was read from a host socket and is not yet acknowledged by the guest. An interface, because there are two ways to
// keep it: in slots of our own (slot-store.ts), or left in the kernel's buffer and peeked at (Linux 6.9 and later).
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'

export interface SendStore {
  /** The sequence number behind the last byte that was read. */
  readonly end: number
  /** Where the bytes are that `fill()` or `find()` last pointed at. */
  readonly buffer: PinnedBuffer
  readonly offset: number
  readonly length: number
  /** The socket gave the last `fill()` less than it was asked for: it was emptied. */
  readonly wasShort: boolean
  /** Begins empty at a sequence number. */
  begin(sequence: number): void
  /**
   * Reads at most `wantBytes` from the socket, adds them at the end and points at them. Bytes read, 0 at the end of the
   * stream, or a negative errno; -ENOBUFS when there is no memory to read into.
   */
  fill(fd: number, wantBytes: number): number
  /** Points at the bytes from `sequence` on that lie in one piece. False where there are none. */
  find(sequence: number): boolean
  /** Lets go of what lies before `sequence`. */
  release(sequence: number): void
  clear(): void
}
