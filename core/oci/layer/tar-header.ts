// The 512-byte header block of a tar member: POSIX.1-2017 pax "ustar Interchange Format", GNU tar's `tar.h` for the old
// GNU fields and base-256 numbers, star's for its shorter prefix.

import type { ByteString } from './byte-string.ts'

export const BLOCK_BYTES = 512

interface Field {
  readonly offset: number
  readonly length: number
}

/** struct posix_header and struct oldgnu_header of GNU tar's `src/tar.h`. */
const FIELDS = {
  name: { offset: 0, length: 100 },
  mode: { offset: 100, length: 8 },
  uid: { offset: 108, length: 8 },
  gid: { offset: 116, length: 8 },
  size: { offset: 124, length: 12 },
  mtime: { offset: 136, length: 12 },
  checksum: { offset: 148, length: 8 },
  typeFlag: { offset: 156, length: 1 },
  linkName: { offset: 157, length: 100 },
  magic: { offset: 257, length: 6 },
  deviceMajor: { offset: 329, length: 8 },
  deviceMinor: { offset: 337, length: 8 },
  prefix: { offset: 345, length: 155 },
  starPrefix: { offset: 345, length: 131 },
  starTrailer: { offset: 508, length: 4 },
  sparseRegions: { offset: 386, length: 96 },
  isSparseExtended: { offset: 482, length: 1 },
  sparseRealSize: { offset: 483, length: 12 },
} as const satisfies Readonly<Record<string, Field>>

type NumericField =
  | 'mode'
  | 'uid'
  | 'gid'
  | 'size'
  | 'mtime'
  | 'deviceMajor'
  | 'deviceMinor'
  | 'sparseRealSize'

/** Why a header is refused; the parser adds where it stands. */
export class TarFormatError extends Error {
  override readonly name: string = 'TarFormatError'
}

/** A header that asks for more than we allow: the parser makes `oci.limit` of it. */
export class TarLimitError extends TarFormatError {
  override readonly name = 'TarLimitError'
  readonly which: string

  constructor(which: string, message: string) {
    super(message)
    this.which = which
  }
}

/** Whether a block is all zeros: half of the end-of-archive mark. */
export function isZeroBlock(block: Buffer): boolean {
  return block[0] === 0 && block.equals(ZERO_BLOCK)
}
const ZERO_BLOCK = Buffer.alloc(BLOCK_BYTES)

/** Checks the sum over the block; old tars summed signed bytes. Throws `TarFormatError`. */
export function verifyChecksum(block: Buffer): void {
  const { offset, length } = FIELDS.checksum
  const stored = readNumber(block, FIELDS.checksum, 'checksum')
  let unsigned = 0
  for (let index = 0; index < BLOCK_BYTES; index++) unsigned += block[index] as number
  for (let index = offset; index < offset + length; index++) unsigned += 0x20 - (block[index] as number)
  if (stored === unsigned) return
  let signed = unsigned
  for (let index = 0; index < BLOCK_BYTES; index++) {
    const isChecksum = index >= offset && index < offset + length
    if (!isChecksum && (block[index] as number) > 127) signed -= 256
  }
  if (stored !== signed) throw new TarFormatError(`its header has the checksum ${stored}, not ${unsigned}`)
}

/** The type flag as one character; NUL (v7) stays "\0". */
export function typeFlagOf(block: Buffer): string {
  return String.fromCharCode(block[FIELDS.typeFlag.offset] as number)
}

/** A number of the header: octal text, or base-256 when the first bit is set. */
export function numberOf(block: Buffer, field: NumericField): number {
  return readNumber(block, FIELDS[field], field)
}

/** The path of the header; only POSIX headers continue it in the prefix field, old GNU keeps other things there. */
export function pathOf(block: Buffer): ByteString {
  const name = readString(block, FIELDS.name)
  if (block.toString('latin1', 257, 263) !== 'ustar\0') return name
  const isStar = block.toString('latin1', 508, 512) === 'tar\0'
  const prefix = readString(block, isStar ? FIELDS.starPrefix : FIELDS.prefix)
  return prefix === '' ? name : `${prefix}/${name}`
}

/** The link target of the header. */
export function linkNameOf(block: Buffer): ByteString {
  return readString(block, FIELDS.linkName)
}

/** The device numbers; v7 headers have none. */
export function deviceOf(block: Buffer): { major: number; minor: number } {
  if (block.toString('latin1', 257, 262) !== 'ustar') return { major: 0, minor: 0 }
  return { major: numberOf(block, 'deviceMajor'), minor: numberOf(block, 'deviceMinor') }
}

/** Old GNU sparse (type `S`): up to four regions in the header, 21 in each extension block that follows. */
export function sparseFieldsOf(block: Buffer, kind: 'header' | 'extension'): SparseFields {
  const start = kind === 'header' ? FIELDS.sparseRegions.offset : 0
  const count = kind === 'header' ? 4 : 21
  const numbers: number[] = []
  for (let index = 0; index < count; index++) {
    const offset = start + 24 * index
    if (block[offset] === 0) break
    numbers.push(readNumber(block, { offset, length: 12 }, 'sparse offset'))
    numbers.push(readNumber(block, { offset: offset + 12, length: 12 }, 'sparse length'))
  }
  const flagOffset = kind === 'header' ? FIELDS.isSparseExtended.offset : 504
  return { numbers, isExtended: block[flagOffset] !== 0 }
}

export interface SparseFields {
  /** Offset and length of each data region in turn, in bytes. */
  readonly numbers: readonly number[]
  /** Whether an extension block follows. */
  readonly isExtended: boolean
}

/** The bytes up to the first NUL. */
function readString(block: Buffer, { offset, length }: Field): ByteString {
  const terminator = block.indexOf(0, offset)
  const end = terminator === -1 ? offset + length : Math.min(terminator, offset + length)
  return block.toString('latin1', offset, end)
}

function readNumber(block: Buffer, field: Field, name: string): number {
  const first = block[field.offset] as number
  return (first & 0x80) !== 0 ? readBase256(block, field, name) : readOctal(block, field, name)
}

/** Octal digits with spaces or NULs around them; all blank is zero. */
function readOctal(block: Buffer, { offset, length }: Field, name: string): number {
  const end = offset + length
  let index = offset
  while (index < end && isBlank(block[index] as number)) index++
  let value = 0
  for (; index < end; index++) {
    const digit = (block[index] as number) - 0x30
    if (digit < 0 || digit > 7) break
    value = value * 8 + digit
  }
  for (; index < end && (block[index] as number) !== 0; index++) {
    if ((block[index] as number) !== 0x20) throw new TarFormatError(`its ${name} is not an octal number`)
  }
  return value
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0
}

/** GNU and star: two's complement, big-endian, the first bit of the field set. */
function readBase256(block: Buffer, { offset, length }: Field, name: string): number {
  const first = block[offset] as number
  let value = BigInt(first & 0x7f)
  for (let index = offset + 1; index < offset + length; index++) {
    value = (value << 8n) | BigInt(block[index] as number)
  }
  const bits = 8 * length - 1
  const isNegative = (first & 0x40) !== 0
  const signed = isNegative ? value - (1n << BigInt(bits)) : value
  if (signed > BigInt(Number.MAX_SAFE_INTEGER) || signed < BigInt(Number.MIN_SAFE_INTEGER))
    throw new TarFormatError(`its ${name} is too large`)
  return Number(signed)
}
