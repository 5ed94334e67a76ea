import { fstatSync, readdirSync, writeSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { DescriptorChannel, MAX_MESSAGE_BYTES } from './descriptor-channel.ts'
import { closeAll, sendWithDescriptors } from './descriptor-passing.ts'
import { EventCounter } from './event-counter.ts'
import { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { closeDescriptor } from './socket.ts'
import { makeSocketPair } from './socket-pair.ts'

interface Heard {
  readonly channel: DescriptorChannel
  readonly messages: { readonly text: string; readonly fds: readonly number[] }[]
  readonly closed: Promise<Error | undefined>
  /** Resolves when so many messages have come. */
  count(wanted: number): Promise<void>
}

const channels: DescriptorChannel[] = []
afterEach(() => {
  for (const channel of channels.splice(0)) channel[Symbol.dispose]()
})

function listen(fd: number, onMessage?: () => void): Heard {
  const messages: { text: string; fds: readonly number[] }[] = []
  const closed = Promise.withResolvers<Error | undefined>()
  const waiting: { wanted: number; resolve: () => void }[] = []
  const channel = new DescriptorChannel(new FileDescriptor(fd), {
    message: (payload, fds) => {
      messages.push({ text: Buffer.from(payload).toString(), fds })
      for (const { wanted, resolve } of waiting) if (messages.length >= wanted) resolve()
      onMessage?.()
    },
    closed: closed.resolve,
  })
  channels.push(channel)
  return {
    channel,
    messages,
    closed: closed.promise,
    count: (wanted) =>
      new Promise((resolve) => {
        if (messages.length >= wanted) resolve()
        else waiting.push({ wanted, resolve })
      }),
  }
}

const openDescriptors = () => readdirSync('/proc/self/fd').length

describe('DescriptorChannel', () => {
  it('carries messages and descriptors both ways, each with its own', async () => {
    const [one, other] = makeSocketPair()
    const left = listen(one)
    const right = listen(other)
    using counter = new EventCounter()
    left.channel.send(Buffer.from('plain'))
    left.channel.send(Buffer.from('with'), [counter.fd, counter.fd])
    left.channel.send(Buffer.from('after'))
    right.channel.send(Buffer.from('back'))
    await Promise.all([right.count(3), left.count(1)])
    expect(right.messages.map(({ text, fds }) => [text, fds.length])).toEqual([
      ['plain', 0],
      ['with', 2],
      ['after', 0],
    ])
    // Both are the same eventfd as ours.
    for (const fd of right.messages[1]?.fds ?? []) writeSync(fd, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]))
    expect(counter.drain()).toBe(2)
    closeAll(right.messages[1]?.fds ?? [])
    expect(left.messages).toEqual([{ text: 'back', fds: [] }])
  })

  it('carries more than the socket holds, in order, with descriptors that were closed meanwhile', async () => {
    const [one, other] = makeSocketPair()
    const left = listen(one)
    const text = 'x'.repeat(3_000_000)
    for (let index = 0; index < 5; index++) left.channel.send(Buffer.from(`${index}${text}`))
    const counter = new EventCounter()
    left.channel.send(Buffer.from('last'), [counter.fd])
    counter[Symbol.dispose]()
    const right = listen(other)
    await right.count(6)
    expect(right.messages.map(({ text: each }) => each[0])).toEqual(['0', '1', '2', '3', '4', 'l'])
    const [fd] = right.messages[5]?.fds ?? []
    expect(fd !== undefined && fstatSync(fd).isFile()).toBe(false)
    closeAll(right.messages[5]?.fds ?? [])
  })

  it('puts a message together that comes byte by byte', async () => {
    const [one, other] = makeSocketPair()
    const right = listen(other)
    const bytes = Buffer.concat([Buffer.from([2, 0, 0, 0]), Buffer.from('ok'), Buffer.from([1, 0, 0, 0, 33])])
    for (const byte of bytes) writeSync(one, Buffer.from([byte]))
    await right.count(2)
    expect(right.messages.map(({ text }) => text)).toEqual(['ok', '!'])
    closeDescriptor(one)
    expect(await right.closed).toBeUndefined()
  })

  it.each([
    ['a length beyond the limit', MAX_MESSAGE_BYTES + 1],
    ['a length of nothing', 0],
    ['garbage', 0xdeadbeef],
  ])('ends the connection at %s, and closes what came with it', async (_name, length) => {
    const before = openDescriptors()
    const [one, other] = makeSocketPair()
    const right = listen(other)
    using counter = new EventCounter()
    const bytes = new PinnedBuffer(64)
    bytes.view.setUint32(0, length, true)
    sendWithDescriptors(one, bytes, 0, 64, [counter.fd])
    expect((await right.closed)?.message).toMatch(/^Cannot go on with a connection: it announced a message/)
    closeDescriptor(one)
    counter[Symbol.dispose]()
    expect(openDescriptors()).toBe(before)
  })

  it('ends the connection when it is cut in the middle of a message', async () => {
    const [one, other] = makeSocketPair()
    const right = listen(other)
    writeSync(one, Buffer.from([9, 0, 0, 0, 1]))
    closeDescriptor(one)
    expect((await right.closed)?.message).toMatch(/in the middle of a message$/)
  })

  it('ends the connection when its listener cannot stand a message', async () => {
    const [one, other] = makeSocketPair()
    const right = listen(other, () => {
      throw new Error('no sense in it')
    })
    const left = listen(one)
    left.channel.send(Buffer.from('?'))
    expect((await right.closed)?.message).toBe('no sense in it')
    expect(await left.closed).toBeUndefined()
    left.channel.send(Buffer.from('nobody hears this'))
    expect(left.channel.isClosed).toBe(true)
  })
})
