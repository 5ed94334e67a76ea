// The loop's place in tests: a clock that stands still, turns that end when the test says so, a device in memory.
import { EAGAIN } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { DeviceStats, FrameDevice } from '../device/frame-device.ts'
import { MAX_FRAME_BYTES } from '../frame/layout.ts'
import type { PacketContext, SocketHandler, SocketWatcher, TurnTask } from '../packet/packet-context.ts'
import { TimerWheel } from '../packet/timer-wheel.ts'

/** A device that hands its frames to the test. */
export class MemoryDevice implements FrameDevice {
  readonly fd = 3
  isFull = false
  /** The errno by which it refuses frames, other than being full. */
  refusal = 0
  onDelayedFrames: (() => void) | undefined
  readonly #take: (frame: Uint8Array) => void

  constructor(take: (frame: Uint8Array) => void) {
    this.#take = take
  }

  receive(): number {
    return -EAGAIN
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    offset: number,
    payloadBytes: number,
  ): number {
    if (this.isFull) return -EAGAIN
    if (this.refusal !== 0) return -this.refusal
    header.at(0, headerBytes)
    payload.at(offset, payloadBytes)
    this.#take(
      Buffer.concat([
        header.bytes.subarray(0, headerBytes),
        payload.bytes.subarray(offset, offset + payloadBytes),
      ]),
    )
    return headerBytes + payloadBytes
  }

  stats(): DeviceStats {
    return { overruns: 0 }
  }

  isGone(): boolean {
    return false
  }

  close(): void {}
}

/** A loop that turns when the test says so. */
export class ManualContext implements PacketContext, SocketWatcher {
  nowMs = 1_000_000
  readonly timers = new TimerWheel(this.nowMs)
  readonly watcher = this
  readonly transmit = new PinnedBuffer(MAX_FRAME_BYTES)
  readonly handlers = new Map<number, SocketHandler>()
  #due: TurnTask[] = []

  watch(fd: number, handler: SocketHandler): number {
    this.handlers.set(fd, handler)
    return fd
  }

  unwatch(fd: number): void {
    this.handlers.delete(fd)
  }

  due(task: TurnTask): void {
    if (task.isDue) return
    task.isDue = true
    this.#due.push(task)
  }

  /** Ends a turn. False where there was nothing to do. */
  endTurn(): boolean {
    const tasks = this.#due
    this.#due = []
    for (const task of tasks) {
      task.isDue = false
      task.atEndOfTurn()
    }
    return tasks.length > 0
  }
}
