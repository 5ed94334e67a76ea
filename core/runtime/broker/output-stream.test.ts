import { describe, expect, it } from 'vitest'
import { ByteRing, RingBudget } from './byte-ring.ts'
import { type OutputEvent, OutputStream } from './output-stream.ts'

function newStream(limits: number[] = [], largestBytes = 64 * 1024) {
  return new OutputStream({
    stream: 1,
    ring: new ByteRing(new RingBudget(), largestBytes),
    windowBytes: 16 * 1024,
    onLimit: (limit) => limits.push(limit),
  })
}

describe('OutputStream', () => {
  it('gives every reader every byte, early or late, and then the end', async () => {
    const stream = newStream()
    const early = stream.openReader({ lossless: false, from: 'start' })
    stream.append(Buffer.from('hello '), 0)
    const late = stream.openReader({ lossless: false, from: 'start' })
    const fromNow = stream.openReader({ lossless: false, from: 'now' })
    stream.append(Buffer.from('world'), 0)
    stream.end()
    const collect = async (events: AsyncGenerator<OutputEvent>) => {
      let text = ''
      let end = -1
      for await (const event of events) {
        if (event.kind === 'data') text += Buffer.from(event.bytes).toString()
        if (event.kind === 'end') end = event.offset
      }
      return { text, end }
    }
    expect(await collect(early.events())).toEqual({ text: 'hello world', end: 11 })
    expect(await collect(late.events())).toEqual({ text: 'hello world', end: 11 })
    expect(await collect(fromNow.events())).toEqual({ text: 'world', end: 11 })
  })

  it('lets the writer go on while nobody needs every byte', () => {
    const limits: number[] = []
    const stream = newStream(limits)
    stream.openReader({ lossless: false, from: 'start' })
    for (let index = 0; index < 100; index++) stream.append(new Uint8Array(16 * 1024), 0)
    expect(limits.at(-1)).toBe(101 * 16 * 1024)
  })

  it('holds the writer back for a lossless reader, and for no longer than that', () => {
    const limits: number[] = []
    const stream = newStream(limits)
    const reader = stream.openReader({ lossless: true, from: 'start' })
    stream.append(new Uint8Array(16 * 1024), 0)
    expect(stream.limit).toBe(16 * 1024)
    void reader.next()
    reader.consume(8 * 1024)
    expect(stream.limit).toBe(24 * 1024)
    reader.close()
    expect(stream.limit).toBe(32 * 1024)
  })

  it('tells a lossy reader what it missed', async () => {
    const stream = newStream([], 16 * 1024)
    const reader = stream.openReader({ lossless: false, from: 'start' })
    stream.append(new Uint8Array(20_000), 0)
    expect(await reader.next()).toEqual({
      kind: 'skip',
      stream: 1,
      offset: 20_000 - 16_384,
      bytes: 20_000 - 16_384,
    })
    expect(await reader.next()).toMatchObject({ kind: 'data', offset: 20_000 - 16_384 })
  })

  it('takes no acknowledgement of bytes that were never handed out', () => {
    const stream = newStream()
    const reader = stream.openReader({ lossless: true, from: 'start' })
    stream.append(new Uint8Array(100), 0)
    reader.consume(1e9)
    expect(reader.consumedOffset).toBe(0)
  })

  it('wakes a reader that is closed while it waits', async () => {
    const reader = newStream().openReader({ lossless: false, from: 'start' })
    const next = reader.next()
    reader.close()
    expect(await next).toBeUndefined()
  })
})
