// Takes the frames of one guest from its device, a bounded number each turn, and knows what the device's errors mean: no
// frame now, one frame lost, the interface down, or gone for good.
import { EAGAIN, EBADFD, ENETDOWN, ENOBUFS, ENODEV, ENXIO } from '../../sys/errno.ts'
import { DROP } from '../frame/drop-reason.ts'
import type { Frame } from '../frame/frame.ts'
import type { GuestPort } from '../guest-port.ts'
import type { DeviceHandler, PacketLoop } from './packet-loop.ts'
import { Timer } from './timer-wheel.ts'

/** How often an interface that is down is looked at: the kernel does not say that it was removed. */
const DOWN_CHECK_MS = 200
/** A device that takes nothing without saying when it will (ENOBUFS: a queue below it) is tried again after this. */
const QUEUE_RETRY_MS = 10
/** Errors of one turn that are looked at before the next device has its share. */
const ERRORS_PER_TURN = 16

const REMOVED = 'its interface was removed'

export interface PortReaderOwner {
  readonly loop: PacketLoop
  readonly framesPerTurn: number
  /** The one frame that is looked at. */
  readonly frame: Frame
  /** A frame of `lengthBytes` is in `frame`'s buffer. Never throws. */
  handle(port: GuestPort, lengthBytes: number): void
  /** The device takes frames again. */
  hasRoom(port: GuestPort): void
  /** The device is gone: everything of the guest is to be let go. */
  lost(port: GuestPort, reason: string): void
}

export class PortReader implements DeviceHandler {
  readonly #port: GuestPort
  readonly #owner: PortReaderOwner
  readonly #token: number
  readonly #downTimer = new Timer((nowMs) => this.#checkDown(nowMs))
  readonly #roomTimer = new Timer(() => this.onRoom())

  /** Begins to read. Throws NetError where the descriptor cannot be watched. */
  constructor(port: GuestPort, owner: PortReaderOwner) {
    this.#port = port
    this.#owner = owner
    this.#token = owner.loop.watchDevice(port.device.fd, this)
    port.device.onDelayedFrames = () => this.onReadable()
    port.onFull = (errno) => this.#onFull(errno)
  }

  onReadable(): void {
    const { frame, framesPerTurn } = this.#owner
    const port = this.#port
    let errors = 0
    for (let count = 0; count < framesPerTurn && errors < ERRORS_PER_TURN; count++) {
      const lengthBytes = port.device.receive(frame.buffer)
      if (lengthBytes > 0) {
        port.received(frame.buffer, lengthBytes)
        this.#owner.handle(port, lengthBytes)
        // A frame may be the end of its guest.
        if (port.isGone) return
      } else if (lengthBytes === 0) {
        // A socket that stands for a device: its other end is closed.
        this.#owner.lost(port, 'its other end was closed')
        return
      } else {
        if (lengthBytes === -EAGAIN) return
        errors++
        if (this.#isOver(-lengthBytes)) return
      }
    }
  }

  onRoom(): void {
    this.#port.isWritable = true
    this.#owner.hasRoom(this.#port)
  }

  /** Ends reading and closes the device. */
  close(): void {
    const { loop } = this.#owner
    loop.timers.stop(this.#downTimer)
    loop.timers.stop(this.#roomTimer)
    loop.unwatchDevice(this.#port.device.fd, this.#token)
    this.#port.device.close()
  }

  /** Frames that the kernel lost on their way to us since the last look go into the guest's counters. */
  countOverruns(): void {
    const { drops, device } = this.#port
    const index = DROP['device-overrun']
    drops[index] = (drops[index] ?? 0) + device.stats().overruns
  }

  #isOver(errno: number): boolean {
    if (errno === ENODEV || errno === EBADFD || errno === ENXIO) {
      this.#owner.lost(this.#port, REMOVED)
      return true
    }
    if (errno === ENETDOWN) {
      this.#checkDown(this.#owner.loop.nowMs)
      return true
    }
    this.#port.drop('device-overrun')
    return false
  }

  #checkDown(nowMs: number): void {
    if (this.#port.device.isGone()) this.#owner.lost(this.#port, REMOVED)
    else this.#owner.loop.timers.start(this.#downTimer, nowMs + DOWN_CHECK_MS)
  }

  #onFull(errno: number): void {
    const { loop } = this.#owner
    if (errno === ENOBUFS) loop.timers.start(this.#roomTimer, loop.nowMs + QUEUE_RETRY_MS)
    else loop.awaitRoom(this.#token)
  }
}
