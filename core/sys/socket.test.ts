import { describe, expect, it } from 'vitest'
import { EAGAIN, ECONNREFUSED, ECONNRESET, EINPROGRESS, EPIPE } from './errno.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { PollSet } from './poll-set.ts'
import {
  AF_INET,
  AF_INET6,
  acceptSocket,
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  openSocket,
  receiveBytes,
  resetSocket,
  SHUT_WR,
  SOCK_STREAM,
  sendBytes,
  shutdownSocket,
  socketName,
  takeSocketError,
  writeTwo,
} from './socket.ts'
import { readSocketAddress, SocketAddress, writeSocketAddress } from './socket-address.ts'
import { makeSocketPair } from './socket-pair.ts'

const EBADF = 9
type Words = readonly [number, number, number, number]
const LOOPBACK6: Words = [0, 0, 0, 1]
const LOOPBACK4: Words = [0, 0, 0xffff, 0x7f00_0001]

/** A listening socket on a free port of loopback, and that port. */
function listen(words: Words): { fd: number; port: number } {
  const address = new PinnedBuffer(32)
  const fd = openSocket(words === LOOPBACK4 ? AF_INET : AF_INET6, SOCK_STREAM)
  expect(bindSocket(fd, address, writeSocketAddress(address, ...words, 0))).toBe(0)
  expect(listenSocket(fd, 8)).toBe(0)
  expect(socketName(fd, address)).toBe(0)
  const own = new SocketAddress()
  expect(readSocketAddress(address, own)).toBe(true)
  expect([own.word0, own.word1, own.word2, own.word3]).toEqual(words)
  return { fd, port: own.port }
}

/** A connection over loopback: both its ends. */
function connected(words: Words): readonly [client: number, server: number] {
  const { fd: listener, port } = listen(words)
  const address = new PinnedBuffer(32)
  const client = openSocket(words === LOOPBACK4 ? AF_INET : AF_INET6, SOCK_STREAM)
  expect(connectSocket(client, address, writeSocketAddress(address, ...words, port))).toBe(-EINPROGRESS)
  new PollSet([listener]).wait(5_000)
  const server = acceptSocket(listener, address)
  expect(server).toBeGreaterThan(0)
  const peer = new SocketAddress()
  expect(readSocketAddress(address, peer)).toBe(true)
  expect([peer.word0, peer.word1, peer.word2, peer.word3]).toEqual(words)
  closeDescriptor(listener)
  return [client, server]
}

describe.each([
  ['IPv4', LOOPBACK4],
  ['IPv6', LOOPBACK6],
] as const)('sockets of %s', (_, words) => {
  it('carry bytes, say when there are none, and end', () => {
    const [client, server] = connected(words)
    const buffer = new PinnedBuffer(64)
    expect(takeSocketError(client)).toBe(0)
    expect(receiveBytes(server, buffer, 0, 64)).toBe(-EAGAIN)
    buffer.bytes.set(Buffer.from('header and payload'))
    expect(writeTwo(client, buffer, 6, buffer, 11, 7)).toBe(13)
    shutdownSocket(client, SHUT_WR)
    new PollSet([server]).wait(5_000)
    expect(receiveBytes(server, buffer, 20, 44)).toBe(13)
    expect(Buffer.from(buffer.bytes.subarray(20, 33)).toString()).toBe('headerpayload')
    new PollSet([server]).wait(5_000)
    expect(receiveBytes(server, buffer, 0, 64)).toBe(0)
    expect(sendBytes(client, buffer, 0, 1)).toBe(-EPIPE)
    closeDescriptor(client)
    closeDescriptor(server)
  })

  it('tell the peer of a reset', () => {
    const [client, server] = connected(words)
    const buffer = new PinnedBuffer(64)
    resetSocket(client)
    new PollSet([server]).wait(5_000)
    expect(receiveBytes(server, buffer, 0, 64)).toBe(-ECONNRESET)
    closeDescriptor(server)
  })

  it('keep the error of a connection that nobody took', () => {
    const { fd: listener, port } = listen(words)
    closeDescriptor(listener)
    const address = new PinnedBuffer(32)
    const client = openSocket(words === LOOPBACK4 ? AF_INET : AF_INET6, SOCK_STREAM)
    expect(connectSocket(client, address, writeSocketAddress(address, ...words, port))).toBe(-EINPROGRESS)
    new PollSet([client]).wait(5_000)
    expect(takeSocketError(client)).toBe(ECONNREFUSED)
    expect(takeSocketError(client)).toBe(0)
    closeDescriptor(client)
  })
})

describe('calls on sockets', () => {
  it('return negative errnos and throw nothing', () => {
    const buffer = new PinnedBuffer(8)
    expect(receiveBytes(-1, buffer, 0, 8)).toBe(-EBADF)
    expect(sendBytes(-1, buffer, 0, 8)).toBe(-EBADF)
    expect(bindSocket(-1, buffer, 8)).toBe(-EBADF)
    expect(openSocket(AF_INET, SOCK_STREAM, 4_711)).toBeLessThan(0)
  })

  it('refuse memory that is not the buffer’s, before the kernel sees it', () => {
    const [near, far] = makeSocketPair()
    const buffer = new PinnedBuffer(64)
    for (const [offset, length] of [
      [0, 65],
      [64, 1],
      [-1, 4],
      [4, -1],
      [Number.NaN, 4],
      [0, Number.NaN],
      [2 ** 53, 1],
    ] as const) {
      expect(() => receiveBytes(near, buffer, offset, length)).toThrow(RangeError)
      expect(() => sendBytes(near, buffer, offset, length)).toThrow(RangeError)
      expect(() => writeTwo(near, buffer, 4, buffer, offset, length)).toThrow(RangeError)
    }
    expect(sendBytes(near, buffer, 64, 0)).toBe(0)
    closeDescriptor(near)
    closeDescriptor(far)
  })
})

describe('readSocketAddress()', () => {
  it('reads no address of another family', () => {
    const address = new PinnedBuffer(32)
    address.view.setUint16(0, 1, true)
    expect(readSocketAddress(address, new SocketAddress())).toBe(false)
  })

  it('reads what was written, also behind other bytes', () => {
    const address = new PinnedBuffer(64)
    const written = new PinnedBuffer(32)
    for (const words of [LOOPBACK4, LOOPBACK6, [0x2001_0db8, -2, 3, -4]] as const) {
      const bytes = writeSocketAddress(written, words[0], words[1], words[2], words[3], 65_535)
      address.bytes.set(written.bytes.subarray(0, bytes), 24)
      const read = new SocketAddress()
      expect(readSocketAddress(address, read, 24)).toBe(true)
      expect(read).toEqual({
        word0: words[0],
        word1: words[1],
        word2: words[2],
        word3: words[3],
        port: 65_535,
      })
    }
  })
})
