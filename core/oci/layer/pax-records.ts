// The records of a PAX extended header: "LENGTH KEY=VALUE\n" (POSIX.1-2017 pax "pax Extended Header"). Parsed without
// forgiveness: a record that two parsers read differently is how bytes are smuggled past a check (CVE-2025-62518).

import type { ByteString } from './byte-string.ts'
import { TarFormatError, TarLimitError } from './tar-header.ts'
import { TAR_LIMITS } from './tar-limits.ts'

export interface PaxHeader {
  /** The last value of each key. */
  readonly values: ReadonlyMap<ByteString, Buffer>
  /** GNU sparse 0.0 repeats `GNU.sparse.offset` and `GNU.sparse.numbytes`: their values in turn. */
  readonly sparsePairs: readonly number[]
}

const NUL_FREE_KEYS: ReadonlySet<string> = new Set(['path', 'linkpath', 'GNU.sparse.name'])

/** Parses the content of a PAX header. The values share the memory of `block`. Throws `TarFormatError`. */
export function parsePaxHeader(block: Buffer): PaxHeader {
  const values = new Map<ByteString, Buffer>()
  const sparsePairs: number[] = []
  let recordCount = 0
  let offset = 0
  while (offset < block.length) {
    const { key, value, end } = readRecord(block, offset)
    offset = end
    if (key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes') {
      const expected = sparsePairs.length % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes'
      if (key !== expected) throw new TarFormatError('its sparse offsets and lengths do not alternate')
      sparsePairs.push(decimal(key, value))
      continue
    }
    if (++recordCount > TAR_LIMITS.paxRecords)
      throw new TarLimitError('paxRecords', `its PAX header has more than ${TAR_LIMITS.paxRecords} records`)
    values.set(key, value)
  }
  if (sparsePairs.length % 2 !== 0) throw new TarFormatError('its last sparse offset has no length')
  return { values, sparsePairs }
}

/** A decimal number of a record, 0 to 2^53-1. Throws `TarFormatError`. */
export function decimal(key: string, value: Buffer): number {
  const text = value.toString('latin1')
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number)) throw new TarFormatError(`its PAX record ${key} is not a number`)
  return number
}

/** A time in decimal seconds, rounded down to whole ones. Throws `TarFormatError`. */
export function wholeSeconds(key: string, value: Buffer): number {
  const text = value.toString('latin1')
  const number = /^-?[0-9]{1,16}(\.[0-9]*)?$/.test(text) ? Math.floor(Number(text)) : Number.NaN
  if (!Number.isSafeInteger(number)) throw new TarFormatError(`its PAX record ${key} is not a time`)
  return number
}

function readRecord(block: Buffer, start: number): { key: ByteString; value: Buffer; end: number } {
  const space = block.indexOf(0x20, start)
  const lengthText = space === -1 || space - start > 8 ? '' : block.toString('latin1', start, space)
  if (!/^[0-9]+$/.test(lengthText)) throw new TarFormatError('a record of its PAX header has no length')
  const end = start + Number(lengthText)
  if (end > block.length || end <= space + 1 || block[end - 1] !== 0x0a)
    throw new TarFormatError('a record of its PAX header has a wrong length')
  const equals = block.indexOf(0x3d, space + 1)
  if (equals <= space + 1 || equals >= end)
    throw new TarFormatError('a record of its PAX header has no key or no value')
  const key = block.toString('latin1', space + 1, equals)
  const value = block.subarray(equals + 1, end - 1)
  if (key.includes('\0') || (NUL_FREE_KEYS.has(key) && value.includes(0)))
    throw new TarFormatError(`its PAX record ${JSON.stringify(key)} holds a NUL byte`)
  return { key, value, end }
}
