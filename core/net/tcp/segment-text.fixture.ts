// Options, flags and payloads as tests write and read them.
import { ACK, FIN, PSH, RST, SYN } from './tcp-header.ts'

export interface SynOffer {
  readonly mss?: number
  readonly windowShift?: number
  readonly sack?: boolean
  readonly window?: number
}

/** The options of a SYN as a guest writes them. */
export function synOptions(offer: SynOffer): Uint8Array {
  const options: number[] = []
  if (offer.mss !== undefined) options.push(2, 4, offer.mss >>> 8, offer.mss & 255)
  if (offer.windowShift !== undefined) options.push(1, 3, 3, offer.windowShift)
  if (offer.sack === true) options.push(1, 1, 4, 2)
  return Uint8Array.from(options)
}

/** A SACK option with these blocks. */
export function sackOption(...blocks: readonly (readonly [start: number, end: number])[]): Uint8Array {
  const option = Buffer.alloc(4 + blocks.length * 8)
  option.set([1, 1, 5, 2 + blocks.length * 8])
  blocks.forEach(([start, end], index) => {
    option.writeInt32BE(start | 0, 4 + index * 8)
    option.writeInt32BE(end | 0, 8 + index * 8)
  })
  return option
}

export function readSackOption(options: Uint8Array): [number, number][] {
  const view = Buffer.from(options)
  const blocks: [number, number][] = []
  for (let at = 0; at < view.length; ) {
    const kind = view.readUInt8(at)
    if (kind === 0) break
    if (kind === 1) {
      at++
      continue
    }
    const length = view.readUInt8(at + 1)
    if (kind === 5)
      for (let block = at + 2; block < at + length; block += 8)
        blocks.push([view.readInt32BE(block), view.readInt32BE(block + 4)])
    at += length
  }
  return blocks
}

/** `SA`, `R`, `FPA`: flags as people write them. */
export function flagNames(flags: number): string {
  const names: [number, string][] = [
    [FIN, 'F'],
    [SYN, 'S'],
    [RST, 'R'],
    [PSH, 'P'],
    [ACK, 'A'],
  ]
  return names
    .filter(([flag]) => (flags & flag) !== 0)
    .map(([, name]) => name)
    .join('')
}

/** `length` bytes that tell where they are from: no two stretches look alike. */
export function pattern(length: number, from = 0): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; at++) {
    const position = from + at
    bytes[at] = (position ^ (position >>> 8) ^ (position >>> 16) ^ ((position >>> 24) * 7)) & 255
  }
  return bytes
}
