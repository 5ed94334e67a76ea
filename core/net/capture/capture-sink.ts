// Where a capture goes: a descriptor that belongs to somebody else's program and takes as much as it likes. Blocks wait in a
// buffer of fixed size, are written as the descriptor takes them, and never stall the packet path: a block that finds no
// room is not taken, one that was taken is written whole.
import { fstatSync } from 'node:fs'
import { setNonBlocking } from '../../sys/descriptor-flags.ts'
import { EPOLLERR, EPOLLHUP, EPOLLRDHUP } from '../../sys/epoll.ts'
import { EAGAIN } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { closeDescriptor, sendBytes, writeBytes } from '../../sys/socket.ts'
import type { PacketContext, SocketHandler, TurnTask } from '../packet/packet-context.ts'

const BUFFER_BYTES = 1 << 20

export class CaptureSink implements SocketHandler, TurnTask {
  isDue = false
  readonly buffer = new PinnedBuffer(BUFFER_BYTES)
  readonly #context: PacketContext
  readonly #fd: number
  readonly #isSocket: boolean
  readonly #watch: number | undefined
  readonly #onClosed: (errno: number) => void
  readonly #onAsked: () => void
  /** What waits is `buffer` from `#head` to `#tail`. */
  #head = 0
  #tail = 0
  #isEnding = false
  #isClosed = false

  /**
   * Owns `fd` from now on: a socket, a pipe, or a file. `onClosed` is told once when it was closed: 0 after all was
   * written, the errno of the write that failed otherwise (EPIPE when the reader went). `onAsked` is told when the reader
   * asks for the end and goes on reading: it has shut its own direction down (shutdown(2) of a socket).
   */
  constructor(
    context: PacketContext,
    fd: number,
    onClosed: (errno: number) => void,
    onAsked: () => void = () => {},
  ) {
    this.#context = context
    this.#fd = fd
    this.#onClosed = onClosed
    this.#onAsked = onAsked
    const kind = fstatSync(fd)
    this.#isSocket = kind.isSocket()
    // send(2) has a flag for each call; a file takes what it is given and cannot be waited for (epoll_ctl(2): EPERM).
    if (!this.#isSocket && !kind.isFile()) setNonBlocking(fd)
    this.#watch = kind.isFile() ? undefined : context.watcher.watch(fd, this)
  }

  /** A place for `bytes` in `buffer`, to be filled and given to `take()` at once; -1 where there is no room now. */
  reserve(bytes: number): number {
    if (this.#isEnding || this.#isClosed) return -1
    if (this.#tail + bytes > BUFFER_BYTES) this.#write()
    if (this.#tail + bytes > BUFFER_BYTES) this.#moveToFront()
    return this.#tail + bytes > BUFFER_BYTES ? -1 : this.#tail
  }

  /** The first `bytes` of the place that was reserved last are to be written. */
  take(bytes: number): void {
    this.#tail += bytes
    this.#context.due(this)
  }

  /** Takes `bytes` whole and nothing behind them: closes when all is written. */
  end(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length)
    if (at >= 0) {
      this.buffer.bytes.set(bytes, at)
      this.#tail += bytes.length
    }
    this.#isEnding = true
    this.#write()
  }

  /** Closes at once, whatever waits. */
  close(errno = 0): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#watch !== undefined) this.#context.watcher.unwatch(this.#fd, this.#watch)
    closeDescriptor(this.#fd)
    this.#onClosed(errno)
  }

  atEndOfTurn(): void {
    this.#write()
  }

  onSocketEvents(events: number): void {
    this.#write()
    if ((events & (EPOLLERR | EPOLLHUP)) !== 0) this.close()
    else if ((events & EPOLLRDHUP) !== 0) this.#onAsked()
  }

  #write(): void {
    if (this.#isClosed) return
    while (this.#head < this.#tail) {
      const waiting = this.#tail - this.#head
      const written = this.#isSocket
        ? sendBytes(this.#fd, this.buffer, this.#head, waiting)
        : writeBytes(this.#fd, this.buffer, this.#head, waiting)
      if (written === -EAGAIN) return
      if (written < 0) {
        this.close(-written)
        return
      }
      this.#head += written
    }
    this.#head = 0
    this.#tail = 0
    if (this.#isEnding) this.close()
  }

  /** Only when half of the buffer is free before what waits, so that no byte is moved more often than it is worth. */
  #moveToFront(): void {
    if (this.#head < BUFFER_BYTES / 2) return
    this.buffer.bytes.copyWithin(0, this.#head, this.#tail)
    this.#tail -= this.#head
    this.#head = 0
  }
}
