// A PV console's page, from the backend's side: output of the guest, input to it. Our own indices are private
// and only published; the guest's are read once per look and checked. Pure: works on any memory.
// Source: xen/include/public/io/console.h (struct xencons_interface).
import { ringViolation } from './ring-violation.ts'

const INPUT_OFFSET = 0
const INPUT_BYTES = 1024
const OUTPUT_OFFSET = 1024
const OUTPUT_BYTES = 2048
// Positions of 32-bit words. Indices run freely, modulo 2^32.
const WORD = { inputConsumed: 768, inputProduced: 769, outputConsumed: 770, outputProduced: 771 } as const

export class ConsolePage {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #words: Int32Array
  #inputProduced: number
  #outputConsumed: number

  /** Takes over the indices of the page: an earlier backend's place, or 0 in a new domain. */
  constructor(page: ArrayBuffer) {
    this.#bytes = new Uint8Array(page)
    this.#words = new Int32Array(page, 0, 1024)
    this.#inputProduced = Atomics.load(this.#words, WORD.inputProduced) >>> 0
    this.#outputConsumed = Atomics.load(this.#words, WORD.outputConsumed) >>> 0
  }

  /** What the guest has written, or undefined for nothing; its room is the guest's again. */
  take(): Uint8Array<ArrayBuffer> | undefined {
    const produced = Atomics.load(this.#words, WORD.outputProduced) >>> 0
    const length = (produced - this.#outputConsumed) >>> 0
    if (length === 0) return undefined
    if (length > OUTPUT_BYTES) throw ringViolation('console', `claims ${length} bytes in ${OUTPUT_BYTES}`)
    const taken = new Uint8Array(length)
    const start = this.#outputConsumed % OUTPUT_BYTES
    const first = Math.min(length, OUTPUT_BYTES - start)
    taken.set(this.#bytes.subarray(OUTPUT_OFFSET + start, OUTPUT_OFFSET + start + first))
    taken.set(this.#bytes.subarray(OUTPUT_OFFSET, OUTPUT_OFFSET + length - first), first)
    this.#outputConsumed = produced
    Atomics.store(this.#words, WORD.outputConsumed, produced | 0)
    return taken
  }

  /** Puts in as many bytes as there is room for: how many. */
  put(input: Uint8Array): number {
    const consumed = Atomics.load(this.#words, WORD.inputConsumed) >>> 0
    const used = (this.#inputProduced - consumed) >>> 0
    if (used > INPUT_BYTES) throw ringViolation('console', `claims to have read ${INPUT_BYTES - used} bytes`)
    const length = Math.min(input.length, INPUT_BYTES - used)
    if (length === 0) return 0
    const start = this.#inputProduced % INPUT_BYTES
    const first = Math.min(length, INPUT_BYTES - start)
    this.#bytes.set(input.subarray(0, first), INPUT_OFFSET + start)
    this.#bytes.set(input.subarray(first, length), INPUT_OFFSET)
    this.#inputProduced = (this.#inputProduced + length) >>> 0
    Atomics.store(this.#words, WORD.inputProduced, this.#inputProduced | 0)
    return length
  }
}
