// What carries one guest's frames: a packet socket on its vif, a TAP, or a test's device that loses and reorders. Every
// frame begins with a virtio-net header (frame/layout.ts), in both directions.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'

export interface DeviceStats {
  /** Frames that the kernel had no room for on the way to us, since the last look (PACKET_STATISTICS of packet(7)). */
  readonly overruns: number
}

export interface FrameDevice {
  /** What to watch for frames (level-triggered) and, after -EAGAIN of `send()`, for room. */
  readonly fd: number
  /** Set by who reads the device; called by one that keeps frames back when `receive()` has some again. */
  onDelayedFrames?: (() => void) | undefined
  /**
   * Takes one frame into `target`: its length, or a negative errno: -EAGAIN when none waits; -ENODEV or -EBADFD when the
   * device is gone; -ENETDOWN when it is down, perhaps for good (`isGone()`); anything else is one lost frame.
   */
  receive(target: PinnedBuffer): number
  /**
   * Sends one frame: `headerBytes` of `header`, then `payloadBytes` of `payload` from `payloadOffset` on (0 bytes: none).
   * Returns the bytes taken, all of them, or a negative errno: -EAGAIN and -ENOBUFS when it has no room now.
   */
  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number
  stats(): DeviceStats
  /** After -ENETDOWN of `receive()`: whether the interface is gone for good, or only down for now. */
  isGone(): boolean
  close(): void
}
