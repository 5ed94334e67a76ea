import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeStrings, encodeMessage, encodeStrings, MessageDecoder } from './wire.ts'

const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const message = fc.record({
  type: u32,
  requestId: u32,
  transactionId: u32,
  payload: fc.uint8Array({ maxLength: 4096 }).map((bytes) => Buffer.from(bytes)),
})

describe('messages', () => {
  test('have the header of xs_wire.h', () => {
    const bytes = encodeMessage({
      type: 2,
      requestId: 0x01020304,
      transactionId: 5,
      payload: Buffer.from('/a\0'),
    })
    expect(bytes.toString('hex')).toBe('02000000040302010500000003000000' + '2f6100')
  })

  test('come out whole and in order however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.nat(5000)), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(encodeMessage))
        const decoder = new MessageDecoder()
        const decoded = []
        const borders = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length].sort(
          (a, b) => a - b,
        )
        for (let index = 1; index < borders.length; index++) {
          decoded.push(...decoder.push(stream.subarray(borders[index - 1], borders[index])))
        }
        expect(decoded).toEqual(messages)
      }),
    )
  })

  test('are refused when they claim to be longer than the protocol allows', () => {
    const bytes = encodeMessage({ type: 2, requestId: 1, transactionId: 0, payload: Buffer.alloc(0) })
    bytes.writeUInt32LE(4097, 12)
    expect(() => new MessageDecoder().push(bytes)).toThrow('claims 4097 bytes')
  })
})

test('strings are NUL-terminated, an empty list is no bytes', () => {
  expect(encodeStrings('a', '', 'b').toString()).toBe('a\0\0b\0')
  expect(decodeStrings(Buffer.from('a\0\0b\0'))).toEqual(['a', '', 'b'])
  expect(decodeStrings(Buffer.from('a\0b'))).toEqual(['a', 'b'])
  expect(decodeStrings(Buffer.alloc(0))).toEqual([])
})
