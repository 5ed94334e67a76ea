// A bad wire for tests: loses, doubles, reorders and delays the frames of another device in both directions, by a seed. The
// kernel's netem would do it, but not every kernel has it.

import { SeededRandom } from '../../seeded-random.fixture.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAX_FRAME_BYTES } from '../frame/layout.ts'
import { Timer, type TimerWheel } from '../packet/timer-wheel.ts'
import type { DeviceStats, FrameDevice } from './frame-device.ts'

export interface Faults {
  /** Probabilities, each frame for itself. */
  readonly loss: number
  readonly duplication: number
  readonly reordering: number
  /** What every frame waits, and what it waits more at most. */
  readonly delayMs: number
  readonly jitterMs: number
}

export interface FaultyDeviceOptions {
  readonly seed: number
  readonly toGuest: Partial<Faults>
  readonly fromGuest: Partial<Faults>
  readonly timers: TimerWheel
  readonly nowMs: () => number
}

/** How long a reordered frame lets others go ahead. */
const REORDER_MS = 20

interface DelayedFrame {
  readonly dueMs: number
  readonly order: number
  readonly bytes: Uint8Array
}

/** One direction: frames that wait for their time. */
class DelayLine {
  readonly #frames: DelayedFrame[] = []
  readonly #faults: Faults
  readonly #random: SeededRandom
  #order = 0

  constructor(faults: Partial<Faults>, seed: number) {
    this.#faults = { loss: 0, duplication: 0, reordering: 0, delayMs: 0, jitterMs: 0, ...faults }
    this.#random = new SeededRandom(seed)
  }

  /** Decides over one frame: how many copies of it go on, and when. */
  add(bytes: Uint8Array, nowMs: number): void {
    const { loss, duplication, reordering, delayMs, jitterMs } = this.#faults
    if (this.#random.chance(loss)) return
    const copies = this.#random.chance(duplication) ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      const extraMs = this.#random.chance(reordering) ? REORDER_MS : 0
      const dueMs = nowMs + delayMs + extraMs + this.#random.next() * jitterMs
      this.#frames.push({ dueMs, order: this.#order++, bytes })
    }
    this.#frames.sort((one, other) => one.dueMs - other.dueMs || one.order - other.order)
  }

  take(nowMs: number): Uint8Array | undefined {
    const first = this.#frames[0]
    if (first === undefined || first.dueMs > nowMs) return undefined
    this.#frames.shift()
    return first.bytes
  }

  get nextMs(): number | undefined {
    return this.#frames[0]?.dueMs
  }
}

export class FaultyDevice implements FrameDevice {
  readonly fd: number
  onDelayedFrames: (() => void) | undefined
  readonly #device: FrameDevice
  readonly #options: FaultyDeviceOptions
  readonly #toGuest: DelayLine
  readonly #fromGuest: DelayLine
  readonly #toGuestTimer = new Timer(() => this.#flush())
  readonly #fromGuestTimer = new Timer(() => this.onDelayedFrames?.())
  readonly #frame = new PinnedBuffer(MAX_FRAME_BYTES)
  #isClosed = false

  constructor(device: FrameDevice, options: FaultyDeviceOptions) {
    this.fd = device.fd
    this.#device = device
    this.#options = options
    this.#toGuest = new DelayLine(options.toGuest, options.seed)
    this.#fromGuest = new DelayLine(options.fromGuest, options.seed + 1)
  }

  receive(target: PinnedBuffer): number {
    const nowMs = this.#options.nowMs()
    // Everything that waits is taken in first: what is behind a delayed frame may overtake it.
    let count = this.#device.receive(target)
    for (; count >= 0; count = this.#device.receive(target))
      this.#fromGuest.add(target.bytes.slice(0, count), nowMs)
    const frame = this.#fromGuest.take(nowMs)
    // The descriptor is empty now: only the timer tells of the rest, also of what the caller leaves for its next turn.
    this.#startTimer(this.#fromGuestTimer, this.#fromGuest.nextMs)
    if (frame === undefined) return count
    target.bytes.set(frame)
    return frame.length
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number {
    const frame = new Uint8Array(headerBytes + payloadBytes)
    frame.set(header.bytes.subarray(0, headerBytes))
    frame.set(payload.bytes.subarray(payloadOffset, payloadOffset + payloadBytes), headerBytes)
    this.#toGuest.add(frame, this.#options.nowMs())
    this.#flush()
    return frame.length
  }

  stats(): DeviceStats {
    return this.#device.stats()
  }

  isGone(): boolean {
    return this.#device.isGone()
  }

  close(): void {
    this.#isClosed = true
    this.#options.timers.stop(this.#toGuestTimer)
    this.#options.timers.stop(this.#fromGuestTimer)
    this.#device.close()
  }

  #flush(): void {
    const nowMs = this.#options.nowMs()
    for (let frame = this.#toGuest.take(nowMs); frame !== undefined; frame = this.#toGuest.take(nowMs)) {
      this.#frame.bytes.set(frame)
      // A device that is full is one more loss.
      this.#device.send(this.#frame, frame.length, this.#frame, 0, 0)
    }
    this.#startTimer(this.#toGuestTimer, this.#toGuest.nextMs)
  }

  #startTimer(timer: Timer, dueMs: number | undefined): void {
    if (dueMs !== undefined && !this.#isClosed) this.#options.timers.start(timer, dueMs)
  }
}
