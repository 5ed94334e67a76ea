import { describe, expect, it } from 'vitest'
import { ByteRing, RingBudget } from '../broker/byte-ring.ts'
import { OutputStream } from '../broker/output-stream.ts'
import type { GuestError } from '../errors.ts'
import { ControlChannel, type GuestNews } from './control-channel.ts'
import { type Frame, frameTypes } from './frames.ts'

/** A guest's side of the ring: what dom0 sent, and room for so many frames. */
function setUp({ adopted = false, room = Number.POSITIVE_INFINITY, windowBytes = 64 * 1024 } = {}) {
  const sent: Frame[] = []
  const news: GuestNews[] = []
  const broken: GuestError[] = []
  const ring = { room }
  const channelHolder: { channel?: ControlChannel } = {}
  const stdout = new OutputStream({
    stream: 1,
    ring: new ByteRing(new RingBudget()),
    windowBytes,
    onLimit: (limit) => channelHolder.channel?.credit(2, limit),
  })
  const channel = new ControlChannel({
    link: {
      send: (frame) => {
        if (ring.room <= 0) return false
        ring.room--
        sent.push(frame)
        return true
      },
    },
    epoch: 7,
    stdout,
    stderr: new OutputStream({ stream: 2, ring: new ByteRing(new RingBudget()) }),
    stdin: true,
    adopted,
    now: () => 0,
    onNews: (entry) => news.push(entry),
    onBroken: (error) => broken.push(error),
  })
  channelHolder.channel = channel
  return { channel, sent, news, broken, stdout, ring }
}

const frame = (type: keyof typeof frameTypes, stream: number, payload: Buffer): Frame => ({
  type: frameTypes[type],
  stream,
  container: 0,
  payload,
})
const u64 = (value: number) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const data = (stream: number, offset: number, bytes: Buffer) =>
  frame('data', stream, Buffer.concat([u64(offset), bytes]))
function hello(
  streams: { stream: number; direction: number; offset: number; limit: number; ended?: boolean }[] = [],
  epoch = 7,
) {
  const head = Buffer.alloc(16)
  head.writeUInt32LE(1, 0)
  head.writeUInt32LE(epoch, 4)
  head.writeUInt32LE(streams.length, 12)
  return frame(
    'hello',
    0,
    Buffer.concat([
      head,
      ...streams.map(({ stream, direction, offset, limit, ended = false }) => {
        const entry = Buffer.alloc(40)
        entry.writeUInt32LE(stream, 0)
        entry.writeUInt32LE(direction, 4)
        entry.writeBigUInt64LE(BigInt(offset), 8)
        entry.writeBigUInt64LE(BigInt(limit), 16)
        entry.writeUInt32LE(ended ? 1 : 0, 24)
        return entry
      }),
    ]),
  )
}
const firstHello = hello([{ stream: 1, direction: 1, offset: 0, limit: 65536 }])

describe('ControlChannel', () => {
  it('says nothing but hello before the guest has answered, then all that waited, in order', async () => {
    const { channel, sent } = setUp()
    channel.resize(40, 132)
    const written = channel.write(Buffer.from('in'))
    channel.endInput()
    expect(sent.map(({ type }) => type)).toEqual([frameTypes.hello])
    channel.receive([firstHello])
    await written
    expect(sent.map(({ type }) => type)).toEqual([
      frameTypes.hello,
      frameTypes.resize,
      frameTypes.data,
      frameTypes.end,
    ])
  })

  it('takes what the guest wrote before dom0 was there', () => {
    const { channel, stdout, news } = setUp()
    channel.receive([
      frame('started', 0, Buffer.alloc(8)),
      data(2, 0, Buffer.from('hi\n')),
      frame('end', 2, u64(3)),
      frame('exited', 0, Buffer.alloc(16)),
      hello(),
    ])
    expect(Buffer.from(stdout.ring.read(0, 100)).toString()).toBe('hi\n')
    expect(stdout.ended).toBe(true)
    expect(news.map(({ type }) => type)).toEqual(['started', 'exited'])
  })

  it('writes no further than the credit, cut into frames', async () => {
    const { channel, sent } = setUp()
    channel.receive([firstHello])
    const written = channel.write(Buffer.alloc(100_000))
    const lengths = () =>
      sent.filter(({ type }) => type === frameTypes.data).map(({ payload }) => payload.length - 8)
    expect(lengths().reduce((sum, length) => sum + length, 0)).toBe(65536)
    expect(Math.max(...lengths())).toBeLessThanOrEqual(16376)
    channel.receive([frame('credit', 1, u64(200_000))])
    await written
    expect(lengths().reduce((sum, length) => sum + length, 0)).toBe(100_000)
  })

  it('waits for room in the ring and loses nothing', async () => {
    const { channel, sent, ring } = setUp({ room: 2 })
    channel.receive([firstHello])
    const written = channel.write(Buffer.alloc(40_000))
    expect(sent).toHaveLength(2)
    ring.room = 100
    channel.writable()
    await written
    const bytes = sent
      .filter(({ type }) => type === frameTypes.data)
      .reduce((sum, { payload }) => sum + payload.length - 8, 0)
    expect(bytes).toBe(40_000)
  })

  it('grants credit as the bytes are drained', () => {
    const { channel, sent } = setUp()
    channel.receive([firstHello])
    for (let offset = 0; offset < 160_000; offset += 16_000)
      channel.receive([data(2, offset, Buffer.alloc(16_000))])
    const limits = sent
      .filter(({ type }) => type === frameTypes.credit)
      .map(({ payload }) => Buffer.from(payload).readBigUInt64LE())
    expect(Number(limits.at(-1))).toBeGreaterThanOrEqual(160_000)
  })

  it.each([
    [
      'bytes beyond the credit',
      [hello(), ...[0, 1, 2, 3, 4].map((part) => data(3, part * 16_000, Buffer.alloc(16_000)))],
      /beyond its credit/,
    ],
    ['a gap in a stream', [hello(), data(2, 5, Buffer.from('x'))], /where 0 was next/],
    ['a stream that is not open', [hello(), data(9, 0, Buffer.from('x'))], /not open/],
    [
      'bytes after the end',
      [hello(), frame('end', 2, u64(0)), data(2, 0, Buffer.from('x'))],
      /after its end/,
    ],
    ['a credit that goes down', [hello(), frame('credit', 1, u64(1))], /a credit of 1/],
  ])('is broken by %s, once, with the reason', (_name, frames, reason) => {
    const { channel, broken } = setUp({ windowBytes: 1 })
    // stderr never announces more than the first limit here: nothing consumes it.
    channel.receive(frames)
    channel.receive([data(2, 999, Buffer.from('x'))])
    expect(broken.map(({ message }) => message)).toEqual([expect.stringMatching(reason)])
  })

  it('goes on where the guest is after the core host was restarted', async () => {
    const { channel, stdout, sent } = setUp({ adopted: true })
    channel.receive([
      data(2, 500_000, Buffer.from('abc')),
      hello([
        { stream: 1, direction: 1, offset: 42, limit: 70_000 },
        { stream: 2, direction: 0, offset: 500_003, limit: 600_000 },
      ]),
      data(2, 500_003, Buffer.from('def')),
    ])
    expect(Buffer.from(stdout.ring.read(500_000, 10)).toString()).toBe('abcdef')
    await channel.write(Buffer.from('x'))
    expect(Buffer.from(sent.at(-1)?.payload ?? []).readBigUInt64LE()).toBe(42n)
  })

  it('rejects what waits to be written when the guest is gone', async () => {
    const { channel } = setUp()
    const written = channel.write(Buffer.from('x'))
    channel.close()
    await expect(written).rejects.toThrow('the guest is gone')
  })
})
