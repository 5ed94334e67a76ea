// Sparse members store only their data regions. The map says where each region belongs; it comes in four spellings
// (old GNU, PAX 0.0, 0.1 and 1.0; GNU tar manual, "Storing Sparse Files") and is checked before a byte is placed.

import { TarFormatError, TarLimitError } from './tar-header.ts'
import { TAR_LIMITS } from './tar-limits.ts'

export interface SparseMap {
  /** Offset and length of each data region in turn, in bytes: ascending, not overlapping, inside the file. */
  readonly numbers: readonly number[]
  /** Size of the file with its holes. */
  readonly realSizeBytes: number
}

/** Checks a map against the size of the file and of its stored data. Throws `TarFormatError`. */
export function checkSparseMap(
  numbers: readonly number[],
  realSizeBytes: number,
  storedBytes: number,
): SparseMap {
  if (numbers.length / 2 > TAR_LIMITS.sparseRegions) throw tooManyRegions()
  let previousEnd = 0
  let dataBytes = 0
  for (let index = 0; index < numbers.length; index += 2) {
    const offset = numbers[index] ?? -1
    const length = numbers[index + 1] ?? -1
    if (offset < previousEnd || length < 0 || offset + length > realSizeBytes)
      throw new TarFormatError('its sparse regions overlap, are out of order or lie outside of the file')
    previousEnd = offset + length
    dataBytes += length
  }
  if (dataBytes !== storedBytes)
    throw new TarFormatError(`its sparse regions hold ${dataBytes} bytes, but ${storedBytes} are stored`)
  return { numbers, realSizeBytes }
}

/** PAX 0.1: `GNU.sparse.map` is "offset,length,offset,length…". Throws `TarFormatError`. */
export function parseSparseList(text: string): number[] {
  if (text === '') return []
  const numbers = text.split(',').map(sparseNumber)
  if (numbers.length % 2 !== 0) throw new TarFormatError('its last sparse offset has no length')
  return numbers
}

/**
 * PAX 1.0: the map stands before the data, as decimal lines (the number of regions, then offset and length of each),
 * filled up to a whole number of blocks.
 */
export class SparseTextMap {
  readonly numbers: number[] = []
  #expected: number | null = null
  #line = ''

  /** Reads one block; returns whether the map is complete with it. Throws `TarFormatError`. */
  addBlock(block: Buffer): boolean {
    let lineStart = 0
    while (!this.#isComplete()) {
      const lineEnd = block.indexOf(0x0a, lineStart)
      this.#line += block.toString('latin1', lineStart, lineEnd === -1 ? block.length : lineEnd)
      if (this.#line.length > 20) throw new TarFormatError('its sparse map is not a list of numbers')
      if (lineEnd === -1) return false
      this.#addNumber(sparseNumber(this.#line))
      this.#line = ''
      lineStart = lineEnd + 1
    }
    return true
  }

  #isComplete(): boolean {
    return this.#expected !== null && this.numbers.length === this.#expected
  }

  #addNumber(number: number): void {
    if (this.#expected !== null) {
      this.numbers.push(number)
      return
    }
    if (number > TAR_LIMITS.sparseRegions) throw tooManyRegions()
    this.#expected = 2 * number
  }
}

function sparseNumber(text: string): number {
  const number = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(number)) throw new TarFormatError('its sparse map is not a list of numbers')
  return number
}

export interface SparseTarget {
  data(chunk: Buffer): void
  hole(sizeBytes: number): void
}

/** Puts the stored bytes of a sparse member where they belong, with the holes between them. */
export class SparseExpander {
  readonly #map: SparseMap
  readonly #target: SparseTarget
  #position = 0
  #region = 0
  #regionLeft = 0

  constructor(map: SparseMap, target: SparseTarget) {
    this.#map = map
    this.#target = target
  }

  data(chunk: Buffer): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#regionLeft === 0) this.#enterRegion()
      const taken = Math.min(this.#regionLeft, chunk.length - offset)
      if (taken > 0) this.#target.data(chunk.subarray(offset, offset + taken))
      this.#regionLeft -= taken
      this.#position += taken
      offset += taken
    }
  }

  /** The hole at the end. */
  end(): void {
    this.#hole(this.#map.realSizeBytes)
  }

  #enterRegion(): void {
    this.#hole(this.#map.numbers[this.#region] ?? this.#position)
    this.#regionLeft = this.#map.numbers[this.#region + 1] ?? 0
    this.#region += 2
  }

  #hole(end: number): void {
    if (end <= this.#position) return
    this.#target.hole(end - this.#position)
    this.#position = end
  }
}

export function tooManyRegions(): TarLimitError {
  return new TarLimitError('sparseRegions', `it has more than ${TAR_LIMITS.sparseRegions} sparse regions`)
}
