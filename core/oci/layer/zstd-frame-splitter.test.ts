import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ZstdFrameSplitter } from './zstd-frame-splitter.ts'

function frame(content: Buffer | string, parameters: Record<number, number> = {}): Buffer {
  return zstdCompressSync(Buffer.from(content), { params: parameters })
}

function skippable(sizeBytes: number, nibble = 3): Buffer {
  const bytes = Buffer.alloc(8 + sizeBytes, 0x28)
  bytes.writeUInt32LE(0x184d2a50 + nibble, 0)
  bytes.writeUInt32LE(sizeBytes, 4)
  return bytes
}

/** Splits the stream as it arrives in pieces of these sizes (over and over), and puts the frames together again. */
function framesOf(stream: Buffer, sizes: readonly number[]): Buffer[] {
  const splitter = new ZstdFrameSplitter('layer 1')
  const pieces: Buffer[] = []
  for (let offset = 0, turn = 0; offset < stream.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1
    pieces.push(...splitter.split(stream.subarray(offset, offset + size)))
    offset += size
  }
  splitter.finish()
  const frames: Buffer[] = []
  for (const piece of pieces) {
    const last = frames.at(-1)
    if (last === undefined || isWhole(last)) frames.push(piece)
    else frames[frames.length - 1] = Buffer.concat([last, piece])
  }
  return frames
}

function isWhole(bytes: Buffer): boolean {
  try {
    zstdDecompressSync(bytes)
    return true
  } catch {
    return false
  }
}

describe('ZstdFrameSplitter', () => {
  const large = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7919) % 251))
  const frames = [
    frame('first'),
    frame(large, { [constants.ZSTD_c_checksumFlag]: 1 }),
    frame(''),
    frame(Buffer.alloc(500_000)),
  ]
  const stream = Buffer.concat([
    skippable(5),
    ...frames.flatMap((bytes, index) => [bytes, skippable(index * 1000, index)]),
    skippable(0),
  ])

  test.each([[[1]], [[3]], [[4]], [[1000]], [[65536]], [[1 << 30]]])('pieces of %j bytes', (sizes) => {
    expect(framesOf(stream, sizes)).toEqual(frames)
  })

  test('no piece ever holds bytes of two frames, however the stream arrives', () => {
    const small = Buffer.concat([
      skippable(2),
      frame('a'),
      frame('bb'),
      skippable(7),
      frame(''),
      frame('cccc'),
    ])
    const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(sizes, (pattern) => {
        expect(framesOf(small, pattern).map((bytes) => zstdDecompressSync(bytes).toString())).toEqual([
          'a',
          'bb',
          '',
          'cccc',
        ])
      }),
    )
  })

  test('a large frame is passed on without being cut into its blocks', () => {
    const bytes = frame(large)
    expect(new ZstdFrameSplitter('layer 1').split(bytes)).toHaveLength(1)
  })

  test.each<[string, Buffer, RegExp]>([
    ['a stream that ends inside a frame', frame(large).subarray(0, 50), /cut off/],
    ['a stream that ends inside a magic number', Buffer.concat([frame('a'), Buffer.from([0x28])]), /cut off/],
    ['a stream that ends inside a skippable frame', skippable(10).subarray(0, 12), /cut off/],
    ['something else after a frame', Buffer.concat([frame('a'), Buffer.from('junk')]), /magic number/],
    ['a block of the reserved type', Buffer.from('28b52ffd0058ffffff', 'hex'), /reserved/],
    ['a block that is too large', Buffer.from('28b52ffd0058fdffff', 'hex'), /too large/],
  ])('%s is refused', (_, bytes, reason) => {
    expect(() => framesOf(bytes, [1 << 30])).toThrow(reason)
    expect(() => framesOf(bytes, [1])).toThrow(reason)
  })
})
