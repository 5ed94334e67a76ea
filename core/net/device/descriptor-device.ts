// A guest's frames over a descriptor that gives one frame for each read(2) and takes one for each write(2): what a TAP and
// a packet socket have in common.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { closeDescriptor, readBytes, writeBytes, writeTwo } from '../../sys/socket.ts'
import type { DeviceStats, FrameDevice } from './frame-device.ts'

export abstract class DescriptorDevice implements FrameDevice {
  readonly fd: number

  /** Takes over `fd`, which does not block. */
  constructor(fd: number) {
    this.fd = fd
  }

  receive(target: PinnedBuffer): number {
    return readBytes(this.fd, target, 0, target.sizeBytes)
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number {
    return payloadBytes === 0
      ? writeBytes(this.fd, header, 0, headerBytes)
      : writeTwo(this.fd, header, headerBytes, payload, payloadOffset, payloadBytes)
  }

  abstract stats(): DeviceStats
  abstract isGone(): boolean

  close(): void {
    closeDescriptor(this.fd)
  }
}
