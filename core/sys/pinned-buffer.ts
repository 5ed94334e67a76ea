// Memory that system calls of the packet path read and write: outside of V8's moving heap, with its address known.
// Only core/sys computes addresses from it. Every call takes (buffer, offset, length) and goes through `at()`, which
// refuses what lies outside: an address with a wrong length would let the kernel write anywhere in this process.
import { addressOf } from './libc.ts'

export class PinnedBuffer {
  readonly sizeBytes: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
  /** The same bytes as 16-bit words of the machine's order, for sums. */
  readonly words16: Uint16Array<ArrayBuffer>
  /** For core/sys alone. */
  readonly address: number

  /** Zeroed memory of `sizeBytes`. It stays where it is for as long as this object is reachable. */
  constructor(sizeBytes: number) {
    const buffer = new ArrayBuffer(sizeBytes)
    this.sizeBytes = sizeBytes
    this.bytes = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.words16 = new Uint16Array(buffer, 0, sizeBytes >>> 1)
    this.address = addressOf(buffer)
  }

  /** The address of `length` bytes from `offset` on. Throws RangeError where they do not lie in this buffer. */
  at(offset: number, length: number): number {
    // Careful: NaN fails every comparison, so these are written to let only good values pass.
    if (offset >= 0 && length >= 0 && offset + length <= this.sizeBytes) return this.address + offset
    throw new RangeError(`${length} bytes at ${offset} are outside of a buffer of ${this.sizeBytes}`)
  }
}
