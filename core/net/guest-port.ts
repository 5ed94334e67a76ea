// One guest's place in the packet path: its addresses, its device, what it may do, and what was counted. All frames to the
// guest leave through `send()`, which knows about a full device, a capture and the counters.
import { EAGAIN, ENOBUFS } from '../sys/errno.ts'
import type { PinnedBuffer } from '../sys/pinned-buffer.ts'
import type { AddressWords } from './address.ts'
import type { FrameDevice } from './device/frame-device.ts'
import { DROP, type DropReason, dropReasons } from './frame/drop-reason.ts'
import { VIRTIO_HEADER_BYTES } from './frame/layout.ts'
import type { GuestPolicy } from './policy/guest-policy.ts'

/** Gets a copy of each frame: the capture of this guest. */
export interface FrameTap {
  /** `payload` follows `header`; both are only valid now. */
  frame(
    toGuest: boolean,
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): void
  /** The guest is gone, or has been seen enough: what waits is written and the capture leaves the port. */
  end(): void
}

export interface GuestPortOptions {
  /** Its number in this engine: part of the key of its flows, not used again while the engine runs. */
  readonly index: number
  readonly id: string
  readonly name: string
  readonly mac: Uint8Array
  readonly ipv4: AddressWords
  readonly ipv6: AddressWords
  readonly mtu: number
  readonly configuration: 'static' | 'foreign'
  readonly mayMeetGuests: boolean
  readonly policy: GuestPolicy
  readonly device: FrameDevice
  /** What may be unacknowledged toward this guest, all flows together. */
  readonly inFlightLimitBytes: number
}

export class GuestPort {
  readonly index: number
  readonly id: string
  readonly name: string
  readonly mac: Uint8Array
  /** The word of its IPv4 address. */
  readonly ipv4: number
  /** Its global IPv6 address. A foreign guest chooses it: GuestSwitch.move() keeps the last it used. */
  ipv6: AddressWords
  readonly mtu: number
  readonly configuration: 'static' | 'foreign'
  readonly device: FrameDevice
  readonly inFlightLimitBytes: number
  mayMeetGuests: boolean
  policy: GuestPolicy
  /** Unacknowledged bytes of all TCP flows toward it. Kept by core/net/tcp. */
  inFlightBytes = 0
  /** The device took the last frame; while false, whoever has bulk to send waits for `onWritable`. */
  isWritable = true
  isGone = false
  /** The rules of its policy as they concern other guests (compilePeerPolicy()); the closed ranges play no part there. */
  peerPolicy: GuestPolicy | undefined
  /** Called when the device did not take a frame, with the errno: who carries the port waits for room. */
  onFull: (errno: number) => void = () => {}
  capture: FrameTap | undefined

  /** Of whole frames, the virtio-net header not counted. */
  inBytes = 0
  outBytes = 0
  inFrames = 0
  outFrames = 0
  flowsOpened = 0
  retransmissions = 0
  readonly drops = new Float64Array(dropReasons.length)

  constructor(options: GuestPortOptions) {
    this.index = options.index
    this.id = options.id
    this.name = options.name
    this.mac = options.mac
    this.ipv4 = options.ipv4[3]
    this.ipv6 = options.ipv6
    this.mtu = options.mtu
    this.configuration = options.configuration
    this.device = options.device
    this.inFlightLimitBytes = options.inFlightLimitBytes
    this.mayMeetGuests = options.mayMeetGuests
    this.policy = options.policy
  }

  /**
   * Sends a frame to the guest (FrameDevice.send). False when the device did not take it: the frame is lost, which TCP
   * mends by sending it again and everybody else lives with.
   */
  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer = header,
    payloadOffset = 0,
    payloadBytes = 0,
  ): boolean {
    const taken = this.device.send(header, headerBytes, payload, payloadOffset, payloadBytes)
    if (taken < 0) {
      if (taken === -EAGAIN || taken === -ENOBUFS) {
        this.drop('device-full')
        if (this.isWritable) {
          this.isWritable = false
          this.onFull(-taken)
        }
      } else this.drop('host-refused')
      return false
    }
    this.inFrames++
    this.inBytes += headerBytes + payloadBytes - VIRTIO_HEADER_BYTES
    if (this.capture !== undefined)
      this.capture.frame(true, header, headerBytes, payload, payloadOffset, payloadBytes)
    return true
  }

  /** Counts a frame that came from the guest, and shows it to the capture. */
  received(frame: PinnedBuffer, lengthBytes: number): void {
    this.outFrames++
    this.outBytes += Math.max(0, lengthBytes - VIRTIO_HEADER_BYTES)
    if (this.capture !== undefined) this.capture.frame(false, frame, lengthBytes, frame, 0, 0)
  }

  /** Counts a frame that is not carried. */
  drop(reason: DropReason): void {
    this.drops[DROP[reason]] = (this.drops[DROP[reason]] ?? 0) + 1
  }
}
