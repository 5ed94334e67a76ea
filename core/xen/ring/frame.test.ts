import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkFrames, decodeFrames, encodeFrame, type Frame, frameSizeBytes } from './frame.ts'

const examples = JSON.parse(
  readFileSync(new URL('../../../docs/contracts/channel.examples.json', import.meta.url), 'utf8'),
) as { frames: readonly { name: string; hex: string }[] }

function encode(frames: readonly Frame[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frames.reduce((sum, { payload }) => sum + frameSizeBytes(payload.length), 0))
  let offset = 0
  for (const frame of frames) offset = encodeFrame(bytes, offset, frame)
  return bytes
}

const frame = fc.record({
  type: fc.integer({ min: 0, max: 0xffff }),
  stream: fc.integer({ min: 0, max: 0xffff_ffff }),
  container: fc.integer({ min: 0, max: 0xffff_ffff }),
  payload: fc.uint8Array({ maxLength: 300 }),
})

describe('frames', () => {
  test.each(examples.frames)('of the contract go through unchanged: $name', ({ hex }) => {
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'))
    const frames = decodeFrames(bytes)
    expect(frames).toHaveLength(1)
    expect(Buffer.from(encode(frames)).toString('hex')).toBe(hex)
  })

  test('come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), (frames) => {
        const decoded = decodeFrames(encode(frames))
        expect(decoded.map((one) => ({ ...one, payload: Uint8Array.from(one.payload) }))).toEqual(frames)
      }),
    )
  })

  test('are refused when they are cut, too long, or carry flags', () => {
    const bytes = encode([{ type: 2, stream: 1, container: 0, payload: new Uint8Array(20) }])
    expect(() => checkFrames(bytes.slice(0, -8))).toThrow('inside its payload')
    expect(() => checkFrames(bytes.slice(0, 8))).toThrow('inside its header')
    const flagged = bytes.slice()
    flagged[6] = 1
    expect(() => checkFrames(flagged)).toThrow('unknown flags 0x1')
    const long = new Uint8Array(32768)
    new DataView(long.buffer).setUint32(0, 16385, true)
    expect(() => checkFrames(long)).toThrow('a frame of 16385 bytes')
  })

  test('from a hostile guest are never read beyond their end', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          for (const { payload } of decodeFrames(Uint8Array.from(bytes))) {
            expect(payload.byteOffset + payload.length).toBeLessThanOrEqual(bytes.length)
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'xen.guest-protocol' })
        }
      }),
    )
  })
})
