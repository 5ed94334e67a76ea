// The two ends of flow control: how much a sender may still send, and when a receiver says what it has consumed.
// docs/contracts/streams.md: a receiver allows one window beyond its last acknowledgement, and acknowledges at the
// latest after a quarter of it and when it is idle.

/** What may still be sent. */
export class SendWindow {
  readonly #windowBytes: number
  #sentBytes = 0
  #acknowledgedBytes = 0
  #isClosed = false
  #waiting: PromiseWithResolvers<void> | undefined

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes
  }

  get sentBytes(): number {
    return this.#sentBytes
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that may be sent now. */
  get room(): number {
    return this.#acknowledgedBytes + this.#windowBytes - this.#sentBytes
  }

  add(bytes: number): void {
    this.#sentBytes += bytes
  }

  /** Everything before `offset` was consumed; a RangeError where that much was never sent. */
  acknowledge(offset: number): void {
    if (offset > this.#sentBytes)
      throw new RangeError(`${offset} bytes were acknowledged, ${this.#sentBytes} were sent`)
    if (offset <= this.#acknowledgedBytes) return
    this.#acknowledgedBytes = offset
    this.#wake()
  }

  /** Nothing more may be sent; wakes whoever waits. */
  close(): void {
    this.#isClosed = true
    this.#wake()
  }

  /** Fulfilled at the next acknowledgement or when it is closed. */
  changed(): Promise<void> {
    if (this.#isClosed) return Promise.resolve()
    this.#waiting ??= Promise.withResolvers()
    return this.#waiting.promise
  }

  #wake(): void {
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}

interface Gap {
  readonly from: number
  readonly to: number
}

/** What was received of one stream and how much of it is consumed. */
export class ReceiveWindow {
  readonly #windowBytes: number
  readonly #sendAcknowledgement: (offset: number) => void
  /** Where the next byte will be; unknown until the first one came (a reader may begin anywhere). */
  #next: number | undefined
  #consumed = 0
  #acknowledged = 0
  #hasEnded = false
  /** What was left out beyond the last acknowledgement: nobody has to consume it. */
  #gaps: Gap[] = []
  /** The end of the last gap: what the core host counts its window from, as nobody acknowledges a gap. */
  #skippedTo = 0
  #idleCheck: NodeJS.Immediate | undefined

  constructor(windowBytes: number, sendAcknowledgement: (offset: number) => void) {
    this.#windowBytes = windowBytes
    this.#sendAcknowledgement = sendAcknowledgement
  }

  get hasEnded(): boolean {
    return this.#hasEnded
  }

  /** Notes `length` bytes at `offset`; a RangeError where they leave a gap or exceed the window. */
  receive(offset: number, length: number): void {
    if (this.#next === undefined) this.#begin(offset)
    else if (offset !== this.#next)
      throw new RangeError(`Bytes came at offset ${offset}, those at ${this.#next} are due`)
    const ahead = offset + length - Math.max(this.#acknowledged, this.#skippedTo)
    if (ahead > this.#windowBytes)
      throw new RangeError(`${ahead} bytes came unacknowledged, the window has ${this.#windowBytes}`)
    this.#next = offset + length
  }

  /** The next byte will be at `offset`: what is before it and did not come yet will not come. */
  skipTo(offset: number): void {
    if (this.#next === undefined) {
      this.#begin(offset)
      return
    }
    if (offset < this.#next) throw new RangeError(`A skip leads back from ${this.#next} to ${offset}`)
    this.#gaps.push({ from: this.#next, to: offset })
    this.#next = offset
    this.#skippedTo = offset
    this.#advance(this.#consumed)
  }

  end(): void {
    this.#hasEnded = true
  }

  /** Everything before `offset` was consumed. Offsets beyond what was received are a defect of the caller. */
  consume(offset: number): void {
    if (offset > (this.#next ?? 0))
      throw new Error(`Cannot acknowledge offset ${offset}: ${this.#next ?? 0} were received`)
    if (offset > this.#consumed) this.#advance(offset)
  }

  #begin(offset: number): void {
    this.#next = offset
    this.#consumed = offset
    this.#acknowledged = offset
  }

  #advance(offset: number): void {
    this.#consumed = offset
    for (const { from, to } of this.#gaps)
      if (from <= this.#consumed) this.#consumed = Math.max(this.#consumed, to)
    if (this.#consumed - this.#acknowledged >= this.#windowBytes / 4) this.#acknowledge()
    else this.#idleCheck ??= setImmediate(() => this.#acknowledge())
  }

  #acknowledge(): void {
    if (this.#idleCheck !== undefined) clearImmediate(this.#idleCheck)
    this.#idleCheck = undefined
    if (this.#consumed === this.#acknowledged) return
    this.#acknowledged = this.#consumed
    this.#gaps = this.#gaps.filter(({ to }) => to > this.#acknowledged)
    this.#sendAcknowledgement(this.#acknowledged)
  }
}
