// The two one-way rings of the control channel, from dom0's side (docs/contracts/channel.md, "Control page").
// Our own indices are private: the page's copies are only published, and read once, when we attach. Everything
// else in the page is the guest's to scribble on at any time. Pure: works on any memory.
import { ringViolation } from './ring-violation.ts'

/** A direction's words in the control page, one cache line (16 words) apart, from its first. */
const WORD = { produced: 0, consumed: 16, wantData: 32, wantSpace: 48 } as const
const ALIGNMENT_BYTES = 8

export interface RingMemory {
  /** The whole control page. */
  readonly words: Int32Array
  /** Where the direction's words begin. */
  readonly base: number
  /** The data pages; a power of two. */
  readonly data: Uint8Array<ArrayBuffer>
}

function usedBytes({ data }: RingMemory, produced: number, consumed: number): number {
  const used = (produced - consumed) >>> 0
  if (used > data.length || used % ALIGNMENT_BYTES !== 0) {
    throw ringViolation('control channel', `claims ${used} bytes in a ring of ${data.length}`)
  }
  return used
}

/** Guest → dom0. */
export class FrameReceiver {
  readonly #memory: RingMemory
  #consumed: number

  /** Goes on where the page says the last reader stopped. */
  constructor(memory: RingMemory) {
    this.#memory = memory
    this.#consumed = Atomics.load(memory.words, memory.base + WORD.consumed) >>> 0
    usedBytes(memory, this.#produced(), this.#consumed)
  }

  /** A private copy of all that was produced, or undefined for nothing. Call `release()` when it is valid. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    const length = usedBytes(this.#memory, this.#produced(), this.#consumed)
    if (length === 0) return undefined
    const { data } = this.#memory
    const taken = new Uint8Array(length)
    const start = this.#consumed & (data.length - 1)
    const first = Math.min(length, data.length - start)
    taken.set(data.subarray(start, start + first))
    taken.set(data.subarray(0, length - first), first)
    return taken
  }

  /** Gives `length` bytes of the ring back: true when the guest waits for that and must be notified. */
  release(length: number): boolean {
    const { words, base } = this.#memory
    this.#consumed = (this.#consumed + length) >>> 0
    Atomics.store(words, base + WORD.consumed, this.#consumed | 0)
    return Atomics.exchange(words, base + WORD.wantSpace, 0) !== 0
  }

  /** Asks to be notified of the next frame: true when there is one already, and nobody may go to sleep. */
  wantData(): boolean {
    const { words, base } = this.#memory
    Atomics.store(words, base + WORD.wantData, 1)
    return this.#produced() !== this.#consumed
  }

  #produced(): number {
    return Atomics.load(this.#memory.words, this.#memory.base + WORD.produced) >>> 0
  }
}

/** Dom0 → guest. */
export class FrameSender {
  readonly #memory: RingMemory
  #produced: number

  constructor(memory: RingMemory) {
    this.#memory = memory
    this.#produced = Atomics.load(memory.words, memory.base + WORD.produced) >>> 0
    usedBytes(memory, this.#produced, this.#consumed())
  }

  /** Bytes that the guest has not taken yet. */
  get usedBytes(): number {
    return usedBytes(this.#memory, this.#produced, this.#consumed())
  }

  /** Puts whole frames in, all of them or none: none when there is no room. */
  put(frames: Uint8Array): { readonly done: boolean; readonly mustNotify: boolean } {
    const { words, base, data } = this.#memory
    if (frames.length > data.length - this.usedBytes) return { done: false, mustNotify: false }
    const start = this.#produced & (data.length - 1)
    const first = Math.min(frames.length, data.length - start)
    data.set(frames.subarray(0, first), start)
    data.set(frames.subarray(first), 0)
    this.#produced = (this.#produced + frames.length) >>> 0
    Atomics.store(words, base + WORD.produced, this.#produced | 0)
    return { done: true, mustNotify: Atomics.exchange(words, base + WORD.wantData, 0) !== 0 }
  }

  /** Asks to be notified when the guest takes something; look at `usedBytes` again after it. */
  wantSpace(): void {
    Atomics.store(this.#memory.words, this.#memory.base + WORD.wantSpace, 1)
  }

  #consumed(): number {
    return Atomics.load(this.#memory.words, this.#memory.base + WORD.consumed) >>> 0
  }
}
