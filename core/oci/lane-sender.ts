// One stream that goes out on a byte lane: it may send what the other side has allowed, and waits for more.

import { cancelled } from './errors.ts'

export interface LaneSenderOptions {
  /** The most bytes of one frame. */
  readonly largestBytes: number
  readonly write: (bytes: Uint8Array) => void
  /** Resolves when the lane takes more. */
  readonly drained: () => Promise<void>
}

export class LaneSender {
  readonly #options: LaneSenderOptions
  #creditBytes = 0
  #hasReader = false
  #isStopped = false
  #isOver = false
  #failure: Error | undefined
  #wake: (() => void) | undefined

  constructor(options: LaneSenderOptions) {
    this.#options = options
  }

  /** Sends until the source ends or the other side has left. Throws what the source throws, the lane's end, `oci.cancelled`. */
  async send(source: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<void> {
    const abort = () => this.break(cancelled('pass the archive on', signal?.reason))
    if (signal?.aborted === true) abort()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      await this.#send(source)
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#isOver = true
    }
  }

  async #send(source: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of source) {
      for (let start = 0; start < chunk.length; ) {
        const allowedBytes = await this.#allowed()
        if (allowedBytes === 0) return
        const end = Math.min(chunk.length, start + Math.min(allowedBytes, this.#options.largestBytes))
        this.#creditBytes -= end - start
        this.#options.write(chunk.subarray(start, end))
        start = end
        await this.#options.drained()
      }
      if (this.#isStopped) return
    }
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when the other side is there to hear of the end, or will not be. */
  async heard(): Promise<void> {
    while (!this.#hasReader && !this.#isStopped && this.#failure === undefined) await this.#woken()
  }

  /** The other side takes so many bytes more. */
  allow(bytes: number): void {
    this.#hasReader = true
    this.#creditBytes += bytes
    this.#wake?.()
  }

  /** The other side reads no more. */
  stop(): void {
    this.#isStopped = true
    this.#wake?.()
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** Whether all was sent that will be. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Nothing more can be sent, or is to be. */
  break(failure: Error): void {
    this.#failure ??= failure
    this.#wake?.()
  }

  /** What may be sent, more than 0; 0 when nobody reads any more. */
  async #allowed(): Promise<number> {
    for (;;) {
      if (this.#isStopped) return 0
      if (this.#failure !== undefined) throw this.#failure
      if (this.#creditBytes > 0) return this.#creditBytes
      await this.#woken()
    }
  }

  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
