import { afterEach, describe, expect, it } from 'vitest'
import { DatagramReceiver, DatagramSender } from './datagram-batch.ts'
import { DatagramMessage } from './datagram-message.ts'
import { EAGAIN, ECONNREFUSED } from './errno.ts'
import { ErrorQueue, enableErrorQueue, ORIGIN_ICMP, ORIGIN_ICMPV6 } from './error-queue.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  bindSocket,
  closeDescriptor,
  connectSocket,
  openSocket,
  receiveBytes,
  SOCK_DGRAM,
  sendBytes,
  setSocketOption,
  socketName,
} from './socket.ts'
import { readSocketAddress, SocketAddress, writeSocketAddress } from './socket-address.ts'

const address = new PinnedBuffer(32)
const opened: number[] = []
afterEach(() => {
  for (const fd of opened.splice(0)) closeDescriptor(fd)
})

type Words = readonly [number, number, number, number]
const loopback4: Words = [0, 0, 0xffff, 0x7f000001]
const loopback6: Words = [0, 0, 0, 1]

function socket(words: Words): { fd: number; port: number } {
  const fd = openSocket(words === loopback6 ? AF_INET6 : AF_INET, SOCK_DGRAM)
  opened.push(fd)
  bindSocket(fd, address, writeSocketAddress(address, ...words, 0))
  socketName(fd, address)
  const name = new SocketAddress()
  readSocketAddress(address, name)
  return { fd, port: name.port }
}

function connectTo(fd: number, words: Words, port: number): number {
  return connectSocket(fd, address, writeSocketAddress(address, ...words, port))
}

describe.each([
  ['IPv4', loopback4],
  ['IPv6', loopback6],
])('datagrams in batches over %s', (_family, words) => {
  const isIpv6 = words === loopback6

  it('arrive in order, each with its length and its sender', () => {
    const sender = socket(words)
    const receiver = socket(words)
    connectTo(sender.fd, words, receiver.port)
    const batch = new DatagramSender(8)
    const buffer = new PinnedBuffer(100)
    buffer.bytes.set(Uint8Array.from({ length: 100 }, (_, index) => index))
    for (const [offset, length] of [
      [0, 10],
      [10, 0],
      [10, 33],
    ] as const)
      batch.add(buffer, offset, length)
    expect(batch.send(sender.fd)).toBe(3)
    const incoming = new DatagramReceiver({ capacity: 8, withAddress: true })
    expect(incoming.receive(receiver.fd)).toBe(3)
    expect([0, 1, 2].map((index) => incoming.length(index))).toEqual([10, 0, 33])
    expect(incoming.buffer.bytes[incoming.offset(2)]).toBe(10)
    const from = new SocketAddress()
    expect(incoming.sender(2, from)).toBe(true)
    expect(from).toMatchObject({ word3: words[3], port: sender.port })
    expect(incoming.receive(receiver.fd)).toBe(-EAGAIN)
  })

  it('that are too long are cut off and say so', () => {
    const sender = socket(words)
    const receiver = socket(words)
    connectTo(sender.fd, words, receiver.port)
    const incoming = new DatagramReceiver({ capacity: 2, slotBytes: 16 })
    const buffer = new PinnedBuffer(64)
    sendBytes(sender.fd, buffer, 0, 16)
    sendBytes(sender.fd, buffer, 0, 17)
    expect(incoming.receive(receiver.fd)).toBe(2)
    expect([incoming.isTruncated(0), incoming.isTruncated(1)]).toEqual([false, true])
    expect(incoming.length(1)).toBe(16)
  })

  it('say which local address they were sent to, and can leave from it', () => {
    const sender = socket(words)
    const receiver = socket(words)
    const [level, option] = isIpv6 ? [41, 49] : [0, 8]
    setSocketOption(receiver.fd, level, option, 1)
    connectTo(sender.fd, words, receiver.port)
    const buffer = new PinnedBuffer(64)
    sendBytes(sender.fd, buffer, 0, 5)
    const incoming = new DatagramReceiver({ withAddress: true, withControl: true })
    expect(incoming.receive(receiver.fd)).toBe(1)
    const local = new SocketAddress()
    expect(incoming.localAddress(0, local)).toBe(true)
    expect([local.word0, local.word1, local.word2, local.word3]).toEqual([...words])
    const message = new DatagramMessage()
    message.clear()
    message.to(...words, sender.port)
    message.from(local.word0, local.word1, local.word2, local.word3)
    message.hopLimit(isIpv6, 7)
    expect(message.send(receiver.fd, buffer, 0, 3, buffer, 10, 4)).toBe(7)
    expect(receiveBytes(sender.fd, buffer, 0, 64)).toBe(7)
  })

  it('leave as a train of segments', () => {
    const sender = socket(words)
    const receiver = socket(words)
    connectTo(sender.fd, words, receiver.port)
    const message = new DatagramMessage()
    const buffer = new PinnedBuffer(1000)
    message.clear()
    message.segments(300)
    expect(message.send(sender.fd, buffer, 0, 0, buffer, 0, 1000)).toBe(1000)
    const incoming = new DatagramReceiver()
    expect(incoming.receive(receiver.fd)).toBe(4)
    expect([0, 1, 2, 3].map((index) => incoming.length(index))).toEqual([300, 300, 300, 100])
  })

  it('that nobody takes leave their error in the queue: what, from whom, and about what', () => {
    const gone = socket(words)
    closeDescriptor(opened.pop() ?? -1)
    const sender = openSocket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM)
    opened.push(sender)
    expect(enableErrorQueue(sender, isIpv6)).toBe(0)
    connectTo(sender, words, gone.port)
    const buffer = new PinnedBuffer(64)
    buffer.bytes.fill(0x5a)
    sendBytes(sender, buffer, 0, 20)
    const queue = new ErrorQueue()
    expect(queue.take(sender)).toBe(true)
    expect(queue).toMatchObject({
      errno: ECONNREFUSED,
      origin: isIpv6 ? ORIGIN_ICMPV6 : ORIGIN_ICMP,
      type: isIpv6 ? 1 : 3,
      code: isIpv6 ? 4 : 3,
      hasOffender: true,
      payloadBytes: 20,
    })
    expect(queue.offender.word3).toBe(words[3])
    expect(queue.destination).toMatchObject({ word3: words[3], port: gone.port })
    expect(queue.payload.bytes[queue.payloadOffset]).toBe(0x5a)
    expect(queue.take(sender)).toBe(false)
  })
})

describe('the edges of batches', () => {
  it('are refused before the kernel could write past them', () => {
    const batch = new DatagramSender(1)
    const buffer = new PinnedBuffer(16)
    expect(() => batch.add(buffer, 10, 7)).toThrow(RangeError)
    expect(() => batch.add(buffer, -1, 2)).toThrow(RangeError)
    batch.add(buffer, 0, 16)
    expect(() => batch.add(buffer, 0, 1)).toThrow(RangeError)
    const message = new DatagramMessage()
    message.clear()
    expect(() => message.send(-1, buffer, 0, 17, buffer, 0, 0)).toThrow(RangeError)
    expect(() => {
      for (let count = 0; count < 10; count++) message.hopLimit(false, 1)
    }).toThrow(RangeError)
  })
})
