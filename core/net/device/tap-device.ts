// A guest's frames over a TAP (core/sys/tap-device.ts opens it): the engine's device in development, in tests and in
// comparisons with other engines. It loses nothing on its way to us: the guest's side waits while its queue is full.
import { DescriptorDevice } from './descriptor-device.ts'
import type { DeviceStats } from './frame-device.ts'

const NOTHING_LOST: DeviceStats = { overruns: 0 }

export class TapFrameDevice extends DescriptorDevice {
  stats(): DeviceStats {
    return NOTHING_LOST
  }

  /** A TAP that is gone says EBADFD to every call. */
  isGone(): boolean {
    return false
  }
}
