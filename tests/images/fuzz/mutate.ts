// Damages inputs the way that finds the mistakes of parsers: bits and bytes changed, pieces left out, doubled, moved and
// taken from other inputs, numbers made extreme.

import { pick, type Random } from '../support/random-numbers.ts'

const EXTREMES = [0, 1, 0x7f, 0x80, 0xff]
const NUMBERS = [
  ...['0', '1', '-1', '007', '4294967295', '4294967296', '9007199254740991', '9007199254740993'],
  ...['18446744073709551615', '99999999999999999999', '1e9', '0x10', '', ' '],
]
const WORDS = [
  '"',
  '\\',
  '\0',
  '\n',
  ';',
  ',',
  '=',
  '{',
  '[',
  '/../',
  '.wh.',
  '%',
  '\xff',
  '\xc0\x80',
  '__proto__',
]
const PIECE_BYTES = 600

/** A damaged copy of one of the inputs. */
export function mutate(random: Random, corpus: readonly Buffer[]): Buffer {
  let bytes: Buffer = Buffer.from(pick(random, corpus))
  for (let count = 1 + random(4); count > 0; count--) bytes = change(random, bytes, corpus)
  return bytes
}

function change(random: Random, bytes: Buffer, corpus: readonly Buffer[]): Buffer {
  const at = random(bytes.length + 1)
  const length = random(Math.min(PIECE_BYTES, bytes.length - at + 1))
  const before = bytes.subarray(0, at)
  const after = bytes.subarray(at + length)
  switch (random(10)) {
    case 0:
      return withByte(bytes, at, (bytes[at] ?? 0) ^ (1 << random(8)))
    case 1:
      return withByte(bytes, at, random(256))
    case 2:
      return withByte(bytes, at, pick(random, EXTREMES))
    case 3:
      return Buffer.concat([before, after])
    case 4:
      return Buffer.concat([before, bytes.subarray(at, at + length), bytes.subarray(at)])
    case 5:
      return Buffer.concat([before, piece(random, pick(random, corpus)), bytes.subarray(at)])
    case 6:
      return Buffer.concat([before, piece(random, pick(random, corpus)), after])
    case 7:
      return before
    case 8:
      return withNumber(random, bytes)
    default:
      return Buffer.concat([before, Buffer.from(pick(random, WORDS), 'latin1'), bytes.subarray(at)])
  }
}

function withByte(bytes: Buffer, at: number, value: number): Buffer {
  if (at < bytes.length) bytes.writeUInt8(value & 0xff, at)
  return bytes
}

function piece(random: Random, bytes: Buffer): Buffer {
  const at = random(bytes.length + 1)
  return bytes.subarray(at, at + random(PIECE_BYTES))
}

/** Another number in the place of one that the text holds. */
function withNumber(random: Random, bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const numbers = [...text.matchAll(/[0-9]+/g)]
  if (numbers.length === 0) return bytes
  const { index, 0: digits } = pick(random, numbers)
  const number = Buffer.from(pick(random, NUMBERS), 'latin1')
  return Buffer.concat([bytes.subarray(0, index), number, bytes.subarray(index + digits.length)])
}
