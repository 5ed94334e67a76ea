import { randomBytes } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { BlockCompressor } from './block-compressor.ts'
import { BLOCK_BYTES } from './format.ts'
import { readZstdFrame } from './zstd-frame.ts'

/** Blocks of all sorts: noise, text, a mix, and of odd sizes. */
const blocks = Array.from({ length: 120 }, (_, index) => {
  const size = index % 4 === 0 ? BLOCK_BYTES : 1 + ((index * 7919) % BLOCK_BYTES)
  const block = Buffer.alloc(size, `text ${index} `)
  if (index % 3 > 0) randomBytes(Math.floor(size / (index % 3))).copy(block)
  return block
})

let compressor: BlockCompressor
beforeEach(() => {
  compressor = new BlockCompressor(1, 3)
})
afterEach(() => compressor.close())

describe('BlockCompressor', () => {
  test('every frame is single-segment with the size of its block, which the kernel needs', async () => {
    const frames = await Promise.all(blocks.map((block) => compressor.compress(block)))
    frames.forEach((frame, index) => {
      const block = blocks[index] as Buffer
      expect(readZstdFrame(frame)).toEqual({
        isSingleSegment: true,
        contentBytes: block.length,
        frameBytes: frame.length,
      })
      expect(zstdDecompressSync(frame).equals(block)).toBe(true)
    })
  })

  test('a block makes the same frame on every lane and after every other block', async () => {
    const fresh = blocks.map((block) => compressor.compressNow(block))
    const inOrder = await Promise.all(blocks.map((block) => compressor.compress(block)))
    const backwards = await Promise.all(blocks.toReversed().map((block) => compressor.compress(block)))
    expect(inOrder.every((frame, index) => frame.equals(fresh[index] as Buffer))).toBe(true)
    expect(backwards.toReversed().every((frame, index) => frame.equals(fresh[index] as Buffer))).toBe(true)
  })

  test('a frame that exactly fills an output buffer of zlib stays one frame', async () => {
    const one = new BlockCompressor(1, 1)
    const outputBytes = 1024 * 1024
    let used = 0
    while (outputBytes - used > BLOCK_BYTES) used += (await one.compress(randomBytes(100_000))).length
    const overhead = one.compressNow(randomBytes(50_000)).length - 50_000
    const block = randomBytes(outputBytes - used - overhead)
    const frame = await one.compress(block)
    one.close()
    expect(frame.length).toBe(outputBytes - used)
    expect(zstdDecompressSync(frame).equals(block)).toBe(true)
  })

  test('blocks that still wait fail when the compressor is closed', async () => {
    const waiting = blocks.map((block) => compressor.compress(block))
    compressor.close()
    const outcomes = await Promise.allSettled(waiting)
    expect(outcomes.some(({ status }) => status === 'rejected')).toBe(true)
  })
})

describe('readZstdFrame()', () => {
  test('refuses frames without a content size, cut-off frames and other bytes', () => {
    const frame = compressor.compressNow(Buffer.alloc(1000, 'x'))
    expect(readZstdFrame(frame.subarray(0, -1))).toBeNull()
    expect(readZstdFrame(Buffer.alloc(20))).toBeNull()
    expect(readZstdFrame(Buffer.from('28b52ffd0058190000616263', 'hex'))).toBeNull()
  })

  test('tells where the first of several frames ends', () => {
    const frame = compressor.compressNow(Buffer.alloc(70_000, 'x'))
    expect(readZstdFrame(Buffer.concat([frame, frame]))?.frameBytes).toBe(frame.length)
  })
})
