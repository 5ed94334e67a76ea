// What the packet loop offers to the protocols: the time of this turn, timers, sockets to watch, a place to build headers,
// and the end of the turn. The loop (packet-loop.ts) implements it; tests drive it by hand.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { TimerWheel } from './timer-wheel.ts'

export interface SocketHandler {
  /** `events`: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP of epoll(7), edge-triggered. */
  onSocketEvents(events: number): void
}

export interface SocketWatcher {
  /**
   * Watches `fd` for all events, edge-triggered, from now on. Returns a token for `unwatch()`. Throws NetError. `needsRoom`
   * false: whoever sends there does not wait for room (EPOLLOUT), and is not told of it after each datagram that has left.
   */
  watch(fd: number, handler: SocketHandler, needsRoom?: boolean): number
  /** Ends it. Events of this turn that are still to be told are not. Call it before closing the descriptor. */
  unwatch(fd: number, token: number): void
}

export interface TurnTask {
  /** Used by the loop: whether it is on the list of this turn. */
  isDue: boolean
  /** Called once at the end of the turn in which it was put on the list: the place for acknowledgements. */
  atEndOfTurn(): void
}

export interface PacketContext {
  /** CLOCK_MONOTONIC in whole milliseconds, read once a turn. */
  readonly nowMs: number
  readonly timers: TimerWheel
  readonly watcher: SocketWatcher
  /** Where a frame to a guest is built: its headers, or all of it. Valid until the frame is sent. */
  readonly transmit: PinnedBuffer
  /** Puts a task on this turn's list, unless it is there. */
  due(task: TurnTask): void
}
