// What a ring's two threads tell each other without messages, in a few shared words: how much of what came from
// the guest the main thread has dealt with (so that a flood waits in the guest, not in our memory), and how
// much of what was sent the guest has taken (so that `send()` can answer at once).

// acknowledged: bytes from the guest that the main thread has handled, modulo 2^32; written by the main thread.
// acknowledgementWanted: 1 while the worker waits for that.
// guestTook: bytes to the guest that have left our side (a console: were put into its page; a channel: were taken
// by the guest), modulo 2^32; written by the worker.
// roomWanted: how many free bytes the main thread waits for; 0 for none.
const WORD = { acknowledged: 0, acknowledgementWanted: 1, guestTook: 2, roomWanted: 3 } as const

export function allocateFlow(): SharedArrayBuffer {
  return new SharedArrayBuffer(16)
}

/** The main thread's end. */
export class MainFlow {
  readonly #words: Int32Array<SharedArrayBuffer>

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  /** Bytes were handled: true when the worker waits for that and must be woken. */
  acknowledge(sizeBytes: number): boolean {
    Atomics.add(this.#words, WORD.acknowledged, sizeBytes)
    return Atomics.exchange(this.#words, WORD.acknowledgementWanted, 0) !== 0
  }

  get guestTook(): number {
    return Atomics.load(this.#words, WORD.guestTook) >>> 0
  }

  wantRoom(sizeBytes: number): void {
    Atomics.store(this.#words, WORD.roomWanted, sizeBytes)
  }
}

/** The worker's end. */
export class WorkerFlow {
  readonly #words: Int32Array<SharedArrayBuffer>
  readonly #maxUnacknowledgedBytes: number
  #reported = 0

  constructor(memory: SharedArrayBuffer, maxUnacknowledgedBytes: number) {
    this.#words = new Int32Array(memory)
    this.#maxUnacknowledgedBytes = maxUnacknowledgedBytes
  }

  countReported(sizeBytes: number): void {
    this.#reported = (this.#reported + sizeBytes) >>> 0
  }

  /** Whether more may be reported. When not, the main thread will wake us once that has changed. */
  canReport(): boolean {
    if (this.#hasRoom()) return true
    Atomics.store(this.#words, WORD.acknowledgementWanted, 1)
    return this.#hasRoom()
  }

  setGuestTook(total: number): void {
    Atomics.store(this.#words, WORD.guestTook, total | 0)
  }

  get roomWanted(): number {
    return Atomics.load(this.#words, WORD.roomWanted)
  }

  /** The wish is granted: true when it was still there. */
  grantRoom(): boolean {
    return Atomics.exchange(this.#words, WORD.roomWanted, 0) !== 0
  }

  #hasRoom(): boolean {
    const acknowledged = Atomics.load(this.#words, WORD.acknowledged)
    return (this.#reported - acknowledged) >>> 0 < this.#maxUnacknowledgedBytes
  }
}
