// A device without a kernel: frames go in and come out by hand. Its descriptor is an eventfd that is readable while frames
// wait, so that the real loop can watch it.
import { EAGAIN } from '../../sys/errno.ts'
import { EventCounter } from '../../sys/event-counter.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { DeviceStats, FrameDevice } from './frame-device.ts'

export class MemoryDevice implements FrameDevice {
  readonly fd: number
  /** What was sent to the guest, the virtio-net header in front. */
  readonly sent: Uint8Array<ArrayBuffer>[] = []
  /** False: sent frames are counted and not kept. */
  keepsFrames = true
  sentCount = 0
  /** Errors that the next calls of `receive()` return, and of `send()`. */
  readonly receiveErrors: number[] = []
  readonly sendErrors: number[] = []
  overruns = 0
  isGoneForGood = false
  isClosed = false
  onDelayedFrames: (() => void) | undefined
  readonly #counter = new EventCounter()
  readonly #waiting: Uint8Array[] = []

  constructor() {
    this.fd = this.#counter.fd
  }

  /** A frame of the guest's. */
  push(frame: Uint8Array): void {
    this.#waiting.push(frame)
    this.#counter.signal()
  }

  /** Makes the descriptor readable, as an error of the device does. */
  wake(): void {
    this.#counter.signal()
  }

  get waiting(): number {
    return this.#waiting.length
  }

  receive(target: PinnedBuffer): number {
    const error = this.receiveErrors.shift()
    if (error !== undefined) return -error
    const frame = this.#waiting.shift()
    if (this.#waiting.length === 0) this.#counter.drain()
    if (frame === undefined) return -EAGAIN
    target.bytes.set(frame.subarray(0, target.sizeBytes))
    return Math.min(frame.length, target.sizeBytes)
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number {
    header.at(0, headerBytes)
    payload.at(payloadOffset, payloadBytes)
    const error = this.sendErrors.shift()
    if (error !== undefined) return -error
    this.sentCount++
    if (this.keepsFrames) {
      const frame = new Uint8Array(headerBytes + payloadBytes)
      frame.set(header.bytes.subarray(0, headerBytes))
      frame.set(payload.bytes.subarray(payloadOffset, payloadOffset + payloadBytes), headerBytes)
      this.sent.push(frame)
    }
    return headerBytes + payloadBytes
  }

  stats(): DeviceStats {
    const { overruns } = this
    this.overruns = 0
    return { overruns }
  }

  isGone(): boolean {
    return this.isGoneForGood
  }

  close(): void {
    this.isClosed = true
    this.#counter[Symbol.dispose]()
  }
}
