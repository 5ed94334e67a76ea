// One stream that comes in on a byte lane. It holds what has come and is not yet read, never more than its window: the
// sender is allowed more as the reader goes on.

export interface LaneReceiverOptions {
  readonly windowBytes: number
  /** Lets the sender send so many bytes more. */
  readonly allow: (bytes: number) => void
  /** Tells the sender that nobody reads any more. */
  readonly leave: () => void
}

export class LaneReceiver implements AsyncIterable<Buffer>, Disposable {
  readonly #options: LaneReceiverOptions
  readonly #chunks: Buffer[] = []
  /** Allowed, and not come yet. */
  #awaitedBytes: number
  /** Read, and not allowed again yet. */
  #readBytes = 0
  #end: 'whole' | Error | undefined
  #isClosed = false
  #wake: (() => void) | undefined

  constructor(options: LaneReceiverOptions) {
    this.#options = options
    this.#awaitedBytes = options.windowBytes
    options.allow(options.windowBytes)
  }

  /** Takes what has come; false where it is more than was allowed. */
  push(bytes: Buffer): boolean {
    if (bytes.length > this.#awaitedBytes || this.#end !== undefined) return false
    this.#awaitedBytes -= bytes.length
    this.#chunks.push(bytes)
    this.#wake?.()
    return true
  }

  /** The stream is whole. */
  end(): void {
    this.#end ??= 'whole'
    this.#wake?.()
  }

  /** The stream is not whole: reading fails with this once what has come is read. */
  break(failure: Error): void {
    this.#end ??= failure
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      const chunk = this.#chunks.shift()
      if (chunk !== undefined) {
        yield chunk
        this.#allowAfter(chunk.length)
      } else if (this.#isClosed || this.#end === 'whole') {
        return
      } else if (this.#end !== undefined) {
        throw this.#end
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  /** Nobody reads any more; what has come and what comes is dropped. */
  [Symbol.dispose](): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#chunks.length = 0
    this.#options.leave()
    this.#wake?.()
  }

  /** In steps of a quarter of the window, so that not every chunk costs a frame back. */
  #allowAfter(bytes: number): void {
    this.#readBytes += bytes
    if (this.#isClosed || this.#end !== undefined || this.#readBytes < this.#options.windowBytes / 4) return
    this.#awaitedBytes += this.#readBytes
    this.#options.allow(this.#readBytes)
    this.#readBytes = 0
  }
}
