// The packet thread's own event loop: epoll_wait, then frames, sockets, timers and what they left for the end of the turn.
// Devices are level-triggered and get a bounded number of frames each turn, so that none starves the others; sockets are
// registered once, edge-triggered. Nothing here allocates while frames flow.
import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLPRI,
  EPOLLRDHUP,
  Epoll,
} from '../../sys/epoll.ts'
import { EventCounter } from '../../sys/event-counter.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { errnoName } from '../../sys/system-error.ts'
import { NetError } from '../errors.ts'
import { MAX_FRAME_BYTES } from '../frame/layout.ts'
import type { PacketContext, SocketHandler, SocketWatcher, TurnTask } from './packet-context.ts'
import { TimerWheel } from './timer-wheel.ts'
import { WatchTable } from './watch-table.ts'

const SOCKET_EVENTS = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET
const DATAGRAM_EVENTS = EPOLLIN | EPOLLET
const EVENTS_PER_TURN = 256
/** While nothing happens `run()` looks at least this often whether it shall stop. */
const LONGEST_SLEEP_MS = 1_000

/** A guest's device in the loop. */
export interface DeviceHandler {
  /** Frames wait, or the device has an error: takes at most its share of frames. */
  onReadable(): void
  /** There is room again, after `awaitRoom()`. */
  onRoom(): void
}

export interface PacketLoopOptions {
  /** Milliseconds, whole, never going back. */
  readonly clock?: () => number
  /** Told what a handler, timer or task threw: a defect of ours, and the loop goes on. Without it, it is thrown on. */
  readonly onDefect?: (error: unknown) => void
}

/** Joins a device to the loop's two kinds of events. */
class WatchedDevice {
  readonly fd: number
  readonly handler: DeviceHandler
  token = 0
  awaitsRoom = false

  constructor(fd: number, handler: DeviceHandler) {
    this.fd = fd
    this.handler = handler
  }
}

export class PacketLoop implements PacketContext, SocketWatcher, Disposable {
  nowMs: number
  readonly timers: TimerWheel
  readonly watcher: SocketWatcher = this
  readonly transmit = new PinnedBuffer(MAX_FRAME_BYTES)
  /** Called in this thread after another thread has signalled `wakeFd`. */
  onWake: () => void = () => {}

  readonly #clock: () => number
  readonly #onDefect: (error: unknown) => void
  readonly #epoll = new Epoll(EVENTS_PER_TURN)
  readonly #wake = new EventCounter()
  readonly #watches = new WatchTable<SocketHandler | WatchedDevice>()
  #due: TurnTask[] = []
  #spare: TurnTask[] = []
  #isStopped = false

  constructor(options: PacketLoopOptions = {}) {
    this.#clock = options.clock ?? (() => Math.floor(performance.now()))
    this.#onDefect =
      options.onDefect ??
      ((error) => {
        throw error
      })
    this.nowMs = this.#clock()
    this.timers = new TimerWheel(this.nowMs, this.#onDefect)
    this.#add(this.#wake.fd, EPOLLIN, {
      onSocketEvents: () => {
        this.#wake.drain()
        this.onWake()
      },
    })
  }

  /** An eventfd: signalling it (event-counter.ts) from any thread ends the loop's sleep and calls `onWake`. */
  get wakeFd(): number {
    return this.#wake.fd
  }

  watch(fd: number, handler: SocketHandler, needsRoom = true): number {
    return this.#add(fd, needsRoom ? SOCKET_EVENTS : DATAGRAM_EVENTS, handler)
  }

  unwatch(fd: number, token: number): void {
    if (this.#watches.release(token)) this.#epoll.remove(fd)
  }

  /** Watches a guest's device, level-triggered. Returns a token for the other calls. Throws NetError. */
  watchDevice(fd: number, handler: DeviceHandler): number {
    const device = new WatchedDevice(fd, handler)
    device.token = this.#add(fd, EPOLLIN, device)
    return device.token
  }

  unwatchDevice(fd: number, token: number): void {
    this.unwatch(fd, token)
  }

  /** The device was full: `onRoom()` is called once when it takes frames again. */
  awaitRoom(token: number): void {
    const device = this.#watches.get(token)
    if (!(device instanceof WatchedDevice) || device.awaitsRoom) return
    device.awaitsRoom = true
    this.#epoll.modify(device.fd, EPOLLIN | EPOLLOUT, token)
  }

  due(task: TurnTask): void {
    if (task.isDue) return
    task.isDue = true
    this.#due.push(task)
  }

  /** One wait of at most `longestMs`, and everything that follows from it. */
  turn(longestMs: number): void {
    const count = this.#epoll.wait(this.#due.length > 0 ? 0 : this.timers.untilNext(this.#clock(), longestMs))
    this.nowMs = this.#clock()
    for (let index = 0; index < count; index++) {
      // A watch that ended in this turn has no place in the table any more, and its place is not given away before the end.
      const watch = this.#watches.get(this.#epoll.cookie(index))
      if (watch === undefined) continue
      try {
        const events = this.#epoll.events(index)
        if (watch instanceof WatchedDevice) this.#onDeviceEvents(watch, events)
        else watch.onSocketEvents(events)
      } catch (error) {
        this.#onDefect(error)
      }
    }
    this.timers.advance(this.nowMs)
    this.#endTurn()
  }

  /** Turns until `stop()`. */
  run(): void {
    while (!this.#isStopped) this.turn(LONGEST_SLEEP_MS)
  }

  /** Ends `run()` after this turn. From another thread: through `onWake`. */
  stop(): void {
    this.#isStopped = true
  }

  [Symbol.dispose](): void {
    this.#epoll[Symbol.dispose]()
    this.#wake[Symbol.dispose]()
  }

  #add(fd: number, events: number, handler: SocketHandler | WatchedDevice): number {
    const token = this.#watches.claim(handler)
    const failed = this.#epoll.add(fd, events, token)
    if (failed === 0) return token
    this.#watches.release(token)
    throw new NetError('net.device', `Cannot watch descriptor ${fd}: ${errnoName(-failed)}`)
  }

  #onDeviceEvents(device: WatchedDevice, events: number): void {
    if (device.awaitsRoom && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0) {
      device.awaitsRoom = false
      this.#epoll.modify(device.fd, EPOLLIN, device.token)
      device.handler.onRoom()
    }
    if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) !== 0 && this.#watches.get(device.token) === device)
      device.handler.onReadable()
  }

  #endTurn(): void {
    // What a task puts on the list while they run belongs to the next turn, which then does not sleep.
    const tasks = this.#due
    this.#due = this.#spare
    for (let index = 0; index < tasks.length; index++) {
      const task = tasks[index]
      if (task === undefined) continue
      task.isDue = false
      try {
        task.atEndOfTurn()
      } catch (error) {
        this.#onDefect(error)
      }
    }
    tasks.length = 0
    this.#spare = tasks
    this.#watches.endTurn()
  }
}
