// A published TCP port: the host's listening socket, and who takes its connections.
import { ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { acceptSocket, closeDescriptor } from '../../sys/socket.ts'
import { readSocketAddress, SocketAddress } from '../../sys/socket-address.ts'
import type { PacketContext, SocketHandler, TurnTask } from '../packet/packet-context.ts'
import { Timer } from '../packet/timer-wheel.ts'

/** Connections in one go: others have their share, and the rest is taken at the end of the turn and in the next. */
const ACCEPTS_AT_ONCE = 64
/** Without a free descriptor the listener waits so long before it looks again; clients wait in its queue. */
const RETRY_MS = 50

export class TcpForward implements SocketHandler, TurnTask {
  isDue = false
  readonly #context: PacketContext
  readonly #fd: number
  readonly #token: number
  readonly #take: (fd: number, client: SocketAddress) => void
  readonly #address = new PinnedBuffer(32)
  readonly #client = new SocketAddress()
  readonly #retry = new Timer(() => this.#accept())
  #isClosed = false

  /**
   * Begins to accept. The listening descriptor is this object's from now on; `take` gets each connection's, and who it is
   * from, valid for the call. Throws NetError where the descriptor cannot be watched.
   */
  constructor(context: PacketContext, fd: number, take: (fd: number, client: SocketAddress) => void) {
    this.#context = context
    this.#fd = fd
    this.#take = take
    this.#token = context.watcher.watch(fd, this, false)
  }

  onSocketEvents(): void {
    this.#accept()
  }

  atEndOfTurn(): void {
    this.#accept()
  }

  /** Accepts no more; what was accepted goes on. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#context.timers.stop(this.#retry)
    this.#context.watcher.unwatch(this.#fd, this.#token)
    closeDescriptor(this.#fd)
  }

  #accept(): void {
    if (this.#isClosed || this.#retry.isRunning) return
    for (let count = 0; count < ACCEPTS_AT_ONCE; count++) {
      const fd = acceptSocket(this.#fd, this.#address)
      if (fd >= 0) {
        if (readSocketAddress(this.#address, this.#client)) this.#take(fd, this.#client)
        else closeDescriptor(fd)
        if (this.#isClosed) return
      } else if (fd === -EMFILE || fd === -ENFILE || fd === -ENOBUFS || fd === -ENOMEM) {
        // Careful: the connection stays in the queue, and no event comes when there is room for it.
        this.#context.timers.start(this.#retry, this.#context.nowMs + RETRY_MS)
        return
      } else if (fd !== -ECONNABORTED && fd !== -EPROTO && fd !== -EPERM) return
    }
    this.#context.due(this)
  }
}
