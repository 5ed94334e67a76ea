import fc from 'fast-check'
import { expect, test } from 'vitest'
import { encodeFrame, FrameReader, LineReader, maxFrameBytes } from './protocol.ts'

test('FrameReader returns the frames that were encoded, wherever the bytes are cut', () => {
  const frame = fc.record({ kind: fc.nat(255), payload: fc.uint8Array({ maxLength: 300 }) })
  fc.assert(
    fc.property(fc.array(frame), fc.infiniteStream(fc.integer({ min: 1, max: 64 })), (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(({ kind, payload }) => encodeFrame(kind, payload)))
      const reader = new FrameReader()
      const read: { kind: number; payload: Buffer }[] = []
      for (let at = 0; at < bytes.length; ) {
        const length = cuts.next().value ?? 1
        read.push(...reader.push(bytes.subarray(at, at + length)))
        at += length
      }
      expect(read.map(({ kind, payload }) => [kind, payload.toString('hex')])).toEqual(
        frames.map(({ kind, payload }) => [kind, Buffer.from(payload).toString('hex')]),
      )
    }),
  )
})

test('FrameReader refuses a frame above the limit before it has arrived', () => {
  const header = Buffer.from([0, 0, 0, 0, 0])
  header.writeUInt32LE(maxFrameBytes + 1, 1)
  expect(() => new FrameReader().push(header)).toThrow(`Cannot read a frame of ${maxFrameBytes + 1} bytes`)
})

test('LineReader keeps letters whole that are cut between two chunks', () => {
  const bytes = Buffer.from('{"a":"ü"}\n{"b":1}\nrest')
  const reader = new LineReader()
  const cut = bytes.indexOf(0xc3) + 1
  expect(reader.push(bytes.subarray(0, cut))).toEqual([])
  expect(reader.push(bytes.subarray(cut))).toEqual(['{"a":"ü"}', '{"b":1}'])
})

test('LineReader refuses a line without an end', () => {
  expect(() => new LineReader().push(Buffer.alloc(1024 * 1024 + 1, 'x'))).toThrow('Cannot read a line')
})
