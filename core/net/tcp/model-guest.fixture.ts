// A small, honest TCP of a guest for property tests: it sends its bytes in pieces of any size, repeats what is not
// acknowledged, takes segments in any order and says so by SACK. Slow and simple on purpose: it is what the stack is compared
// with.
import { GUEST_PORT, SERVER_PORT, type Segment } from './scripted-peer.fixture.ts'
import { sackOption, synOptions } from './segment-text.fixture.ts'
import { ACK, FIN, PSH, RST, SYN } from './tcp-header.ts'

const REPEAT_MS = 300

export interface ModelGuestOptions {
  readonly bytes: Buffer
  readonly segmentBytes: number
  readonly sack: boolean
  readonly windowShift: number | undefined
  /** Its receive window, in units of its shift. */
  readonly window: number
  /** It answers the stack's SYN instead of sending one. */
  readonly isPassive?: boolean
  readonly guestPort?: number
  readonly remotePort?: number
}

export interface ModelSegment {
  readonly flags: number
  readonly sequence: number
  readonly acknowledgment: number
  readonly window: number
  readonly payload: Buffer
  readonly options: Uint8Array
  readonly gsoSizeBytes?: number
  readonly guestPort: number
  readonly remotePort: number
}

export class ModelGuest {
  received = Buffer.alloc(0)
  hasFin = false
  wasReset = false
  readonly #options: ModelGuestOptions
  readonly #initial: number
  readonly #out: ModelSegment[] = []
  readonly #beyond = new Map<number, Buffer>()
  #newest: number | undefined
  #finAt: number | undefined
  #isOpen = false
  #stackInitial = 0
  /** Offsets into its bytes: acknowledged, sent; one beyond the end is the FIN. */
  #una = 0
  #next = 0
  #edge = 0
  #stackShift = 0
  #repeatAtMs = 0
  #needsAck = false

  constructor(options: ModelGuestOptions, initial: number) {
    this.#options = options
    this.#initial = initial
  }

  get isDone(): boolean {
    return this.hasFin && this.#una > this.#options.bytes.length
  }

  /** One segment from the stack. */
  take(segment: Segment): void {
    if ((segment.flags & RST) !== 0) {
      // The answer to a late copy of what it said before both sides had closed is none of its business.
      this.wasReset ||= !this.isDone
      return
    }
    if ((segment.flags & SYN) !== 0) {
      if (!this.#isOpen) {
        this.#isOpen = true
        this.#stackInitial = segment.sequence
        if (this.#options.windowShift !== undefined) this.#stackShift = segment.options[7] ?? 0
        this.#edge = segment.window
      }
      if (this.#options.isPassive === true) this.#push(SYN | ACK, this.#initial, Buffer.alloc(0))
      else this.#needsAck = true
      return
    }
    if (!this.#isOpen) return
    const acked = (segment.acknowledgment - this.#initial - 1) | 0
    if (acked > this.#una) {
      this.#una = acked
      this.#next = Math.max(this.#next, acked)
      this.#repeatAtMs = 0
    }
    this.#edge = Math.max(this.#edge, acked + (segment.window << this.#stackShift))
    const at = (segment.sequence - this.#stackInitial - 1) | 0
    if ((segment.flags & FIN) !== 0) this.#finAt = at + segment.payload.length
    if (segment.payload.length > 0) this.#takePayload(at, Buffer.from(segment.payload))
    if (this.#finAt === this.received.length) this.hasFin = true
    // Anything but a plain acknowledgement in order is answered.
    if (segment.payload.length > 0 || (segment.flags & FIN) !== 0 || at !== this.received.length)
      this.#needsAck = true
  }

  /** What it has to say now. */
  speak(nowMs: number): ModelSegment[] {
    const { bytes, segmentBytes } = this.#options
    if (!this.#isOpen) {
      if (this.#options.isPassive !== true && nowMs >= this.#repeatAtMs) {
        this.#repeatAtMs = nowMs + REPEAT_MS
        this.#push(SYN, this.#initial, Buffer.alloc(0))
      }
      return this.#out.splice(0)
    }
    if (this.#una < this.#next || this.#una <= bytes.length) {
      if (this.#repeatAtMs === 0) this.#repeatAtMs = nowMs + REPEAT_MS
      else if (nowMs >= this.#repeatAtMs) {
        this.#next = this.#una
        this.#repeatAtMs = nowMs + REPEAT_MS
      }
    }
    while (this.#next < bytes.length && this.#next < this.#edge) {
      const end = Math.min(this.#next + segmentBytes, bytes.length, this.#edge)
      this.#push(ACK | PSH, this.#initial + 1 + this.#next, bytes.subarray(this.#next, end))
      this.#next = end
    }
    if (this.#next === bytes.length) {
      this.#push(ACK | FIN, this.#initial + 1 + this.#next, Buffer.alloc(0))
      this.#next++
    }
    // A closed window is asked about.
    if (
      this.#next === this.#una &&
      this.#una < bytes.length &&
      this.#una >= this.#edge &&
      nowMs + 20 > this.#repeatAtMs
    )
      this.#push(ACK, this.#initial + this.#una, Buffer.alloc(0))
    if (this.#needsAck) this.#push(ACK, this.#initial + 1 + this.#next, Buffer.alloc(0))
    return this.#out.splice(0)
  }

  #takePayload(at: number, payload: Buffer): void {
    const beyond = at - this.received.length
    if (beyond > 0) {
      const kept = this.#beyond.get(at)
      if (kept === undefined || kept.length < payload.length) this.#beyond.set(at, payload)
      this.#newest = at
      return
    }
    if (beyond + payload.length > 0) this.received = Buffer.concat([this.received, payload.subarray(-beyond)])
    for (const [start, bytes] of [...this.#beyond].sort(([one], [other]) => one - other)) {
      const skip = this.received.length - start
      if (skip < 0) break
      if (skip < bytes.length) this.received = Buffer.concat([this.received, bytes.subarray(skip)])
      this.#beyond.delete(start)
    }
  }

  #push(flags: number, sequence: number, payload: Buffer): void {
    const { windowShift, window, sack } = this.#options
    const base = (this.#stackInitial + 1) | 0
    let options = new Uint8Array(0)
    if ((flags & SYN) !== 0)
      options = new Uint8Array(
        synOptions({ mss: 1460, sack, ...(windowShift === undefined ? {} : { windowShift }) }),
      )
    else if (sack && this.#newest !== undefined) {
      const newest = this.#beyond.get(this.#newest)
      if (newest !== undefined)
        options = new Uint8Array(sackOption([base + this.#newest, base + this.#newest + newest.length]))
    }
    const received = this.received.length + (this.hasFin ? 1 : 0)
    this.#out.push({
      flags,
      sequence: sequence | 0,
      acknowledgment: (flags & ACK) !== 0 ? (base + received) | 0 : 0,
      window,
      payload,
      options,
      guestPort: this.#options.guestPort ?? GUEST_PORT,
      remotePort: this.#options.remotePort ?? SERVER_PORT,
      ...(payload.length > 1_400 ? { gsoSizeBytes: 1_400 } : {}),
    })
    this.#needsAck = false
  }
}
