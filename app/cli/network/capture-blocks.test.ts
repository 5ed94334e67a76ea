import { describe, expect, it } from 'vitest'
import { CaptureBlocks } from './capture-blocks.ts'
import {
  captureStart,
  enhancedPacket,
  interfaceDescription,
  sectionHeader,
  statistics,
} from './capture-samples.fixture.ts'

const parts = [
  sectionHeader(),
  interfaceDescription(),
  enhancedPacket(60),
  enhancedPacket(1514),
  statistics(7),
]
const capture = Buffer.concat(parts)

describe('CaptureBlocks', () => {
  it('passes whole blocks on and counts frames', () => {
    const blocks = new CaptureBlocks()
    expect(Buffer.from(blocks.push(capture)).equals(capture)).toBe(true)
    expect([blocks.frames, blocks.dropped]).toEqual([2, 7])
  })

  it.each([1, 3, 11, 12, 100, 1000])(
    'gives the same in pieces of %i bytes, each ending with a block',
    (size) => {
      const blocks = new CaptureBlocks()
      const ends = parts.map((_, index) => Buffer.concat(parts.slice(0, index)).length)
      let passed = Buffer.alloc(0)
      for (let at = 0; at < capture.length; at += size) {
        passed = Buffer.concat([passed, blocks.push(capture.subarray(at, at + size))])
        expect([...ends, capture.length]).toContain(passed.length)
      }
      expect(passed.equals(capture)).toBe(true)
      expect([blocks.frames, blocks.dropped]).toEqual([2, 7])
    },
  )

  it('keeps half a frame back', () => {
    const blocks = new CaptureBlocks()
    const whole = captureStart().length + enhancedPacket(60).length
    expect(blocks.push(capture.subarray(0, whole + 50))).toHaveLength(whole)
    expect(blocks.frames).toBe(1)
  })

  it('refuses what is no capture', () => {
    expect(() => new CaptureBlocks().push(Buffer.from('HTTP/1.1 200 OK\r\n'))).toThrow(
      'it does not begin as pcapng does',
    )
    const huge = enhancedPacket(60)
    huge.writeUInt32LE(2 ** 31, 4)
    expect(() => new CaptureBlocks().push(Buffer.concat([captureStart(), huge]))).toThrow(
      'it has a block of 2147483648 bytes',
    )
  })
})
