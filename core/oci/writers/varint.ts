// Numbers, bytes and texts one after the other, small ones in few bytes: seven bits of a number in each byte, the lowest
// first, the top bit says that more follow (as LEB128). Whole numbers up to 2^53-1, because sizes and times need them.

import type { ByteString } from '../layer/byte-string.ts'

const FIRST_BYTES = 64 * 1024
/** Where a number leaves what bit operations can hold. */
const TWO_TO_31 = 2 ** 31
const MAX_NUMBER_BYTES = 8

export class VarintWriter {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES)
  #length = 0

  /** Bytes written so far. */
  get length(): number {
    return this.#length
  }

  byte(value: number): void {
    this.#makeRoom(1)
    this.#buffer[this.#length++] = value
  }

  /** A whole number from 0 to 2^53-1. */
  unsigned(value: number): void {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} cannot be written`)
    this.#makeRoom(MAX_NUMBER_BYTES)
    let left = value
    while (left >= TWO_TO_31) {
      this.#buffer[this.#length++] = (left % 0x80) | 0x80
      left = Math.floor(left / 0x80)
    }
    while (left > 0x7f) {
      this.#buffer[this.#length++] = (left & 0x7f) | 0x80
      left >>>= 7
    }
    this.#buffer[this.#length++] = left
  }

  /** A whole number from -2^52 to 2^52-1, small ones of either sign in few bytes. */
  signed(value: number): void {
    this.unsigned(value < 0 ? -2 * value - 1 : 2 * value)
  }

  bytes(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** The length of a text and its bytes. */
  text(text: ByteString): void {
    this.unsigned(text.length)
    this.#makeRoom(text.length)
    this.#length += this.#buffer.write(text, this.#length, 'latin1')
  }

  /** All that was written; nothing may be written afterwards. */
  finish(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #makeRoom(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#length + bytes))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}

export class VarintReader {
  readonly #bytes: Buffer
  #offset: number
  /** The text that was read last by `continuedText`. */
  #text = Buffer.alloc(256)

  constructor(bytes: Buffer, offset = 0) {
    this.#bytes = bytes
    this.#offset = offset
  }

  get offset(): number {
    return this.#offset
  }

  byte(): number {
    const value = this.#bytes[this.#offset++]
    if (value === undefined) throw new RangeError('the bytes end in the middle of a number')
    return value
  }

  unsigned(): number {
    let value = 0
    for (let weight = 1; ; weight *= 0x80) {
      const byte = this.byte()
      value += (byte & 0x7f) * weight
      if (byte < 0x80) return value
    }
  }

  signed(): number {
    const value = this.unsigned()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  /** So many bytes, in the memory of what is read. */
  bytes(length: number): Buffer {
    const end = this.#offset + length
    if (end > this.#bytes.length) throw new RangeError('the bytes end in the middle of a text')
    const bytes = this.#bytes.subarray(this.#offset, end)
    this.#offset = end
    return bytes
  }

  text(): ByteString {
    const length = this.unsigned()
    this.#offset += length
    if (this.#offset > this.#bytes.length) throw new RangeError('the bytes end in the middle of a text')
    return this.#bytes.toString('latin1', this.#offset - length, this.#offset)
  }

  /** A text whose first `sharedLength` bytes are those of the one read so before. */
  continuedText(sharedLength: number): ByteString {
    const rest = this.bytes(this.unsigned())
    const length = sharedLength + rest.length
    if (length > this.#text.length) {
      const larger = Buffer.alloc(Math.max(length, 2 * this.#text.length))
      this.#text.copy(larger)
      this.#text = larger
    }
    rest.copy(this.#text, sharedLength)
    return this.#text.toString('latin1', 0, length)
  }
}
