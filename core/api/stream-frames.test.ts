import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { encodeStreamFrame, StreamFrameDecoder, type StreamFrameKind } from './stream-frames.ts'

interface Examples {
  frames: {
    name: string
    kind: StreamFrameKind
    stream: number
    offset: number
    payload: string
    hex: string
  }[]
  refused: { name: string; hex: string }[]
}
const examples: Examples = JSON.parse(
  readFileSync(new URL('../../docs/contracts/streams.examples.json', import.meta.url), 'utf8'),
)

describe('stream frames', () => {
  it.each(examples.frames)('encode and decode as the contract has it: $name', (example) => {
    const bytes = encodeStreamFrame(
      example.kind,
      example.stream,
      example.offset,
      Buffer.from(example.payload, 'hex'),
    )
    expect(Buffer.from(bytes).toString('hex')).toBe(example.hex)
    const [frame, ...rest] = new StreamFrameDecoder().push(bytes)
    expect(rest).toEqual([])
    expect(frame && { ...frame, payload: Buffer.from(frame.payload).toString('hex') }).toEqual({
      kind: example.kind,
      stream: example.stream,
      offset: example.offset,
      payload: example.payload,
    })
  })

  it('come out whole however the bytes are cut', () => {
    const all = Buffer.concat(examples.frames.map(({ hex }) => Buffer.from(hex, 'hex')))
    for (const size of [1, 3, 13, 14, 15, 1000]) {
      const decoder = new StreamFrameDecoder()
      const kinds: string[] = []
      for (let at = 0; at < all.length; at += size)
        kinds.push(...decoder.push(all.subarray(at, at + size)).map(({ kind }) => kind))
      expect(kinds).toEqual(examples.frames.map(({ kind }) => kind))
      expect(decoder.pendingBytes).toBe(0)
    }
  })

  it.each(examples.refused)('are refused: $name', ({ hex }) => {
    expect(() => new StreamFrameDecoder().push(Buffer.from(hex, 'hex'))).toThrow(RangeError)
  })
})
