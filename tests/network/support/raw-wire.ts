// A guest's wire without a kernel behind it: the test makes each frame, its virtio-net header too, and reads each that
// comes. Kernels refuse to send frames that lie in their headers; this is how the engine gets to see them all the same.
import { setImmediate } from 'node:timers/promises'
import type { GuestMessage } from '../../../core/net/engine/messages.ts'
import { MAX_FRAME_BYTES } from '../../../core/net/frame/layout.ts'
import { EAGAIN, ENOBUFS } from '../../../core/sys/errno.ts'
import { PinnedBuffer } from '../../../core/sys/pinned-buffer.ts'
import { watchReadable } from '../../../core/sys/readable-watch.ts'
import { closeDescriptor, readBytes, SOCK_SEQPACKET, writeBytes } from '../../../core/sys/socket.ts'
import { makeSocketPair } from '../../../core/sys/socket-pair.ts'
import { type GuestOptions, guestMessage } from './guest.ts'

export class RawWire implements AsyncDisposable {
  readonly message: Omit<GuestMessage, 'type'>
  /** The engine's end: one frame for each read and write, as a TAP has it. */
  readonly fd: number
  readonly #end: number
  readonly #watch: Disposable
  readonly #outgoing = new PinnedBuffer(MAX_FRAME_BYTES)
  readonly #incoming = new PinnedBuffer(MAX_FRAME_BYTES)
  readonly #frames: Buffer[] = []
  #waiting: (() => void) | undefined

  /** `number` as of `guestMessage()`: another than those of the guests that the engine counts. */
  constructor(number: number, options: GuestOptions = {}) {
    this.message = guestMessage(number, options)
    const [engineEnd, end] = makeSocketPair(SOCK_SEQPACKET)
    this.fd = engineEnd
    this.#end = end
    this.#watch = watchReadable(end, () => this.#read())
  }

  /** Sends one frame; waits while the engine has no time for it. */
  async send(frame: Uint8Array): Promise<void> {
    this.#outgoing.bytes.set(frame)
    for (;;) {
      const sent = writeBytes(this.#end, this.#outgoing, 0, frame.length)
      if (sent === frame.length) return
      if (sent !== -EAGAIN && sent !== -ENOBUFS) throw new Error(`Cannot send a frame: errno ${-sent}`)
      await setImmediate()
    }
  }

  /** The next frame from the engine that fits, with its virtio-net header; others before it are dropped. */
  async next(fits: (frame: Buffer) => boolean = () => true): Promise<Buffer> {
    for (;;) {
      for (let frame = this.#frames.shift(); frame !== undefined; frame = this.#frames.shift())
        if (fits(frame)) return frame
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
  }

  /** All that came until now. */
  take(): readonly Buffer[] {
    this.#read()
    return this.#frames.splice(0)
  }

  /** Reads nothing more: what the engine sends stays where it is, until there is no room. */
  pause(): void {
    this.#watch[Symbol.dispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch[Symbol.dispose]()
    closeDescriptor(this.#end)
  }

  #read(): void {
    for (;;) {
      const length = readBytes(this.#end, this.#incoming, 0, MAX_FRAME_BYTES)
      if (length <= 0) {
        // The engine has gone: nothing more comes, and the watch would say so without end.
        if (length === 0) this.#watch[Symbol.dispose]()
        break
      }
      this.#frames.push(Buffer.from(this.#incoming.bytes.subarray(0, length)))
    }
    this.#waiting?.()
    this.#waiting = undefined
  }
}
