// The host's side of TCP, as the packet path sees it: connected stream sockets by descriptor. kernel-stream-sockets.ts is
// the real one; tests have one whose every answer they choose. Nothing waits and nothing throws: errors are negative errnos.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'

export interface StreamSockets {
  /**
   * Starts a connection to an address (words as in address.ts): a descriptor, or a negative errno. It is connected when it
   * becomes writable and `takeError()` says 0.
   */
  connect(remote0: number, remote1: number, remote2: number, remote3: number, port: number): number
  /** Makes a socket that was connected or accepted by somebody else fit for the packet path. */
  adopt(fd: number): void
  /** Bytes read, 0 at the end of the stream, or a negative errno. */
  receive(fd: number, buffer: PinnedBuffer, offset: number, length: number): number
  /** Whether sockets that `connect()` makes can be peeked at from any offset (SO_PEEK_OFF), by family. */
  canPeek(isIpv6: boolean): boolean
  /** Where `peek()` looks next: bytes from the oldest that the kernel has. */
  setPeekOffset(fd: number, offset: number): void
  /** As `receive()`, but the bytes stay; the next look begins behind them. */
  peek(fd: number, buffer: PinnedBuffer, offset: number, length: number): number
  /** Throws away the oldest `length` bytes, which have been seen. */
  discard(fd: number, length: number): void
  /** Bytes taken, or a negative errno. */
  send(fd: number, buffer: PinnedBuffer, offset: number, length: number): number
  /** No more bytes follow: the peer sees the end of the stream. */
  shutdownWrite(fd: number): void
  /** The positive errno of a connection that failed, 0 for none. */
  takeError(fd: number): number
  /** Closes it, what was sent is still delivered. */
  close(fd: number): void
  /** Closes it so that the peer sees a reset. */
  reset(fd: number): void
}
