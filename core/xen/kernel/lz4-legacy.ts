// Decoder for the LZ4 legacy frame format, the one `lz4 -l` writes and Linux kernels are compressed with.
// Source: lz4 doc/lz4_Frame_format.md ("Legacy frame") and doc/lz4_Block_format.md.

import { KernelError } from './kernel-error.ts'

/** Every block but the last decompresses to exactly this much. */
const BLOCK_BYTES = 8 << 20
/** The most that an incompressible block can take: LZ4_compressBound(8 MiB). */
const MAX_COMPRESSED_BLOCK_BYTES = BLOCK_BYTES + Math.floor(BLOCK_BYTES / 255) + 16
const MAGIC = 0x184c2102
const MIN_MATCH = 4

/** Yields the decompressed blocks, in order. Each is a fresh array. Throws `kernel.decompression-failed`. */
export function* decodeLz4Legacy(input: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  if (input.length < 4 || view.getUint32(0, true) !== MAGIC)
    throw corrupt('it does not begin with the legacy magic')
  for (let offset = 4; offset < input.length; ) {
    if (offset + 4 > input.length) throw corrupt(`it ends within a block size at byte ${offset}`)
    const size = view.getUint32(offset, true)
    offset += 4
    // Frames may follow one another; each begins with the magic again.
    if (size === MAGIC) continue
    if (size > MAX_COMPRESSED_BLOCK_BYTES) throw corrupt(`a block at byte ${offset} claims ${size} bytes`)
    if (offset + size > input.length) throw corrupt(`a block of ${size} bytes at byte ${offset} is cut off`)
    yield decodeBlock(input.subarray(offset, offset + size))
    offset += size
  }
}

function decodeBlock(input: Uint8Array): Uint8Array {
  const output = new Uint8Array(BLOCK_BYTES)
  let read = 0
  let written = 0

  const readLength = (nibble: number): number => {
    let length = nibble
    if (nibble !== 15) return length
    for (;;) {
      const more = input[read++]
      if (more === undefined) throw corrupt('a block ends within a length')
      length += more
      if (more !== 255) return length
    }
  }

  while (read < input.length) {
    const token = input[read++] ?? 0
    const literals = readLength(token >> 4)
    if (read + literals > input.length || written + literals > BLOCK_BYTES)
      throw corrupt('literals reach past a block')
    output.set(input.subarray(read, read + literals), written)
    read += literals
    written += literals
    // The last sequence of a block has no match.
    if (read === input.length) break

    const distance = (input[read] ?? 0) | ((input[read + 1] ?? 0) << 8)
    read += 2
    if (read > input.length || distance === 0 || distance > written)
      throw corrupt(`a match reaches ${distance} bytes back, ${written} are there`)
    const length = readLength(token & 15) + MIN_MATCH
    if (written + length > BLOCK_BYTES) throw corrupt('a match reaches past a block')
    copyMatch(output, { from: written - distance, to: written, length })
    written += length
  }
  return output.subarray(0, written)
}

/** Copies within `output`; where source and destination overlap, the bytes just written are read again. */
function copyMatch(
  output: Uint8Array,
  match: { readonly from: number; readonly to: number; readonly length: number },
): void {
  const distance = match.to - match.from
  // Doubling: after the first copy the repeated pattern is twice as long.
  for (let done = 0; done < match.length; ) {
    const count = Math.min(match.length - done, distance + done)
    output.copyWithin(match.to + done, match.from, match.from + count)
    done += count
  }
}

function corrupt(reason: string): KernelError {
  return new KernelError('decompression-failed', `Cannot decompress lz4 data: ${reason}`)
}
