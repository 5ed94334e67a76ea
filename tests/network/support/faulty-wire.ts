// A bad wire between a guest's TAP and the engine: what the one sends reaches the other through a FaultyDevice, which
// loses, doubles, reorders and delays by a seed. The engine takes its end for a TAP.
import { type Faults, FaultyDevice } from '../../../core/net/device/faulty-device.fixture.ts'
import { TapFrameDevice } from '../../../core/net/device/tap-device.ts'
import { MAX_FRAME_BYTES } from '../../../core/net/frame/layout.ts'
import { TICK_MS, TimerWheel } from '../../../core/net/packet/timer-wheel.ts'
import { PinnedBuffer } from '../../../core/sys/pinned-buffer.ts'
import { watchReadable } from '../../../core/sys/readable-watch.ts'
import {
  closeDescriptor,
  readBytes,
  SOCK_SEQPACKET,
  SOL_SOCKET,
  setSocketOption,
  writeBytes,
} from '../../../core/sys/socket.ts'
import { makeSocketPair } from '../../../core/sys/socket-pair.ts'

const SO_SNDBUFFORCE = 32
/** Enough that only the faults lose anything. */
const PAIR_BYTES = 16 * 1024 * 1024

export interface FaultyWireOptions {
  readonly seed: number
  readonly toGuest: Partial<Faults>
  readonly fromGuest: Partial<Faults>
}

export class FaultyWire implements AsyncDisposable {
  /** The engine's end. */
  readonly fd: number
  readonly #end: number
  readonly #device: FaultyDevice
  readonly #timers = new TimerWheel(Math.floor(performance.now()))
  readonly #frame = new PinnedBuffer(MAX_FRAME_BYTES)
  readonly #watches: readonly Disposable[]
  readonly #clock: NodeJS.Timeout

  /** Takes over `tap`, the descriptor of the guest's TAP. */
  constructor(tap: number, options: FaultyWireOptions) {
    const [engineEnd, end] = makeSocketPair(SOCK_SEQPACKET)
    for (const fd of [engineEnd, end]) setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, PAIR_BYTES)
    this.fd = engineEnd
    this.#end = end
    this.#device = new FaultyDevice(new TapFrameDevice(tap), {
      ...options,
      timers: this.#timers,
      nowMs: () => performance.now(),
    })
    this.#device.onDelayedFrames = () => this.#fromGuest()
    this.#watches = [watchReadable(tap, () => this.#fromGuest()), watchReadable(end, () => this.#toGuest())]
    this.#clock = setInterval(() => this.#timers.advance(performance.now()), TICK_MS)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#clock)
    for (const watch of this.#watches) watch[Symbol.dispose]()
    closeDescriptor(this.#end)
    this.#device.close()
  }

  #fromGuest(): void {
    for (
      let length = this.#device.receive(this.#frame);
      length >= 0;
      length = this.#device.receive(this.#frame)
    )
      writeBytes(this.#end, this.#frame, 0, length)
  }

  #toGuest(): void {
    for (
      let length = readBytes(this.#end, this.#frame, 0, MAX_FRAME_BYTES);
      length > 0;
      length = readBytes(this.#end, this.#frame, 0, MAX_FRAME_BYTES)
    )
      this.#device.send(this.#frame, length, this.#frame, 0, 0)
  }
}
