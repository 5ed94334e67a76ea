import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { EAGAIN, EPIPE } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { receiveBytes, SHUT_WR, shutdownSocket } from '../../sys/socket.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import { parseAddress } from '../address.ts'
import type { FrameDevice } from '../device/frame-device.ts'
import { NetError } from '../errors.ts'
import {
  FLAG_NEEDS_CHECKSUM,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_HEADER_BYTES,
} from '../frame/layout.ts'
import { GuestPort } from '../guest-port.ts'
import { PacketLoop } from '../packet/packet-loop.ts'
import { compilePolicy } from '../policy/range-policy.ts'
import { defaultSettings } from '../settings.ts'
import { type CaptureOptions, type CaptureSummary, startCapture } from './pcapng-writer.ts'

const PACKET = 6
const STATISTICS = 5
const folder = mkdtempSync(join(tmpdir(), 'bulkhead-capture-'))
afterAll(() => rmSync(folder, { recursive: true }))

let loop: PacketLoop
let port: GuestPort
let summaries: CaptureSummary[]
beforeEach(() => {
  loop = new PacketLoop()
  port = makePort()
  summaries = []
})
afterEach(() => loop[Symbol.dispose]())

describe('startCapture()', () => {
  it('writes each frame with its direction, time and bytes, and at the end what was counted', () => {
    const before = Date.now() * 1000
    const { path, writer } = captureToFile()
    port.send(frame(60, 1), 60 + VIRTIO_HEADER_BYTES)
    port.received(frame(61, 2), 61 + VIRTIO_HEADER_BYTES)
    port.send(frame(54, 3), 54 + VIRTIO_HEADER_BYTES, frame(900, 4), 100, 301)
    loop.turn(0)
    writer.end()
    const blocks = readBlocks(readFileSync(path))
    expect(blocks.map(({ type }) => type)).toEqual([0x0a0d0d0a, 1, PACKET, PACKET, PACKET, STATISTICS])
    const packets = blocks.filter(({ type }) => type === PACKET).map(readPacket)
    expect(packets.map(({ direction, wireBytes }) => [direction, wireBytes])).toEqual([
      [1, 60],
      [2, 61],
      [1, 355],
    ])
    expect(packets[0]?.data).toEqual(Buffer.alloc(60, 1))
    expect(packets[1]?.data).toEqual(Buffer.alloc(61, 2))
    expect(packets[2]?.data).toEqual(Buffer.concat([Buffer.alloc(54, 3), Buffer.alloc(301, 4)]))
    for (const { timeUs } of packets) expect(Math.abs(timeUs - before)).toBeLessThan(10_000_000)
    expect(summaries).toEqual([
      { frames: 3, dropped: 0, bytes: statSync(path).size, reason: 'ended', errno: 0 },
    ])
    expect(port.capture).toBeUndefined()
  })

  it('ends a checksum over the whole frame, though less of it is kept', () => {
    const { path, writer } = captureToFile({ frameBytes: 64 })
    const sent = frame(1000, 0x11)
    sent.view.setUint8(VIRTIO_FLAGS, FLAG_NEEDS_CHECKSUM)
    sent.view.setUint16(VIRTIO_CHECKSUM_START, 34, true)
    sent.view.setUint16(VIRTIO_CHECKSUM_OFFSET, 16, true)
    const copy = Buffer.from(sent.bytes.subarray(VIRTIO_HEADER_BYTES))
    port.send(sent, 1000 + VIRTIO_HEADER_BYTES)
    writer.end()
    const packet = readPacket(readBlocks(readFileSync(path))[2])
    copy.writeUInt16BE(~onesComplementSum(copy.subarray(34)) & 0xffff, 50)
    expect(packet.data).toEqual(copy.subarray(0, 64))
    expect(packet.wireBytes).toBe(1000)
    // The frame itself is the guest's: nothing in it may change.
    expect(sent.bytes[50 + VIRTIO_HEADER_BYTES]).toBe(0x11)
  })

  it.each([
    [65_535, 65_535],
    [1000, 0],
    [34, 65_535],
    [999, 0],
  ])('leaves a frame as it is whose header claims a checksum at %d + %d', (start, offset) => {
    const { path, writer } = captureToFile()
    const sent = frame(1000, 0x22)
    sent.view.setUint8(VIRTIO_FLAGS, FLAG_NEEDS_CHECKSUM)
    sent.view.setUint16(VIRTIO_CHECKSUM_START, start, true)
    sent.view.setUint16(VIRTIO_CHECKSUM_OFFSET, offset, true)
    port.received(sent, 1000 + VIRTIO_HEADER_BYTES)
    writer.end()
    expect(readPacket(readBlocks(readFileSync(path))[2]).data).toEqual(Buffer.alloc(1000, 0x22))
  })

  it('passes over what is shorter than a virtio-net header', () => {
    const { path, writer } = captureToFile()
    for (const bytes of [0, 5, VIRTIO_HEADER_BYTES]) port.received(frame(0, 0), bytes)
    writer.end()
    expect(readBlocks(readFileSync(path)).filter(({ type }) => type === PACKET)).toHaveLength(1)
  })

  it('ends before the file would be larger than allowed', () => {
    const { path } = captureToFile({ limitBytes: 4096 })
    for (let count = 0; count < 100; count++) port.send(frame(500, count), 500 + VIRTIO_HEADER_BYTES)
    loop.turn(0)
    expect(summaries).toMatchObject([{ reason: 'limit', dropped: 0 }])
    const { size } = statSync(path)
    expect(size).toBeLessThanOrEqual(4096)
    expect(size).toBeGreaterThan(4096 - 700)
    expect(readBlocks(readFileSync(path)).at(-1)?.type).toBe(STATISTICS)
    expect(port.inFrames).toBe(100)
  })

  it('refuses a second capture of the same guest, and leaves its descriptor alone', () => {
    const { writer } = captureToFile()
    const fd = openSync(join(folder, 'second'), 'w')
    expect(() => start({ fd })).toThrowError(NetError)
    expect(() => closeSync(fd)).not.toThrow()
    writer.end()
    expect(() => start({ fd: openSync(join(folder, 'second'), 'w') }).end()).not.toThrow()
  })
})

describe('a reader that is too slow', () => {
  it('costs frames, which are counted, and never half a frame', () => {
    const [reader, fd] = makeSocketPair()
    const writer = start({ fd, limitBytes: 2 ** 36 })
    const pieces: Buffer[] = []
    const into = new PinnedBuffer(100_003)
    const read = (): boolean => {
      const count = receiveBytes(reader, into, 0, into.sizeBytes)
      if (count > 0) pieces.push(Buffer.from(into.bytes.subarray(0, count)))
      return count > 0
    }
    let sent = 0
    // Large and small ones, and the reader takes less than comes.
    for (let turn = 0; turn < 300; turn++) {
      for (const bytes of [65_000, 60, 9001, 1514]) {
        port.send(frame(bytes, sent++ & 0xff), bytes + VIRTIO_HEADER_BYTES)
      }
      loop.turn(0)
      if (turn % 2 === 0) read()
    }
    expect(writer.droppedFrames).toBeGreaterThan(100)
    expect(port.inFrames).toBe(sent)
    writer.end()
    expect(summaries).toEqual([])
    while (summaries.length === 0) {
      read()
      loop.turn(10)
    }
    while (read());
    expect(receiveBytes(reader, into, 0, 1)).toBe(0)
    closeSync(reader)
    const whole = Buffer.concat(pieces)
    const blocks = readBlocks(whole)
    const packets = blocks.filter(({ type }) => type === PACKET).map(readPacket)
    for (const { data } of packets) expect(data.every((byte) => byte === data[0])).toBe(true)
    expect(packets.length + writer.droppedFrames).toBe(sent)
    expect(summaries).toEqual([
      { frames: sent, dropped: writer.droppedFrames, bytes: whole.length, reason: 'ended', errno: 0 },
    ])
    const statistics = blocks.at(-1)
    expect(statistics?.type).toBe(STATISTICS)
    expect(statistics?.body.includes(count64(writer.droppedFrames))).toBe(true)
  })

  it('that asks for the end gets what was captured until then', () => {
    const [reader, fd] = makeSocketPair()
    start({ fd })
    port.send(frame(60, 1), 60 + VIRTIO_HEADER_BYTES)
    expect(shutdownSocket(reader, SHUT_WR)).toBe(0)
    while (summaries.length === 0) loop.turn(10)
    expect(summaries).toMatchObject([{ frames: 1, reason: 'ended', errno: 0 }])
    const into = new PinnedBuffer(8192)
    const count = receiveBytes(reader, into, 0, into.sizeBytes)
    closeSync(reader)
    const blocks = readBlocks(Buffer.from(into.bytes.subarray(0, count)))
    expect(blocks.map(({ type }) => type)).toEqual([0x0a0d0d0a, 1, PACKET, STATISTICS])
  })

  it('at the end of a pipe that was opened for waiting is not waited for', () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const writer = start({ fd: openSync(path, 'w') })
    for (let count = 0; count < 40; count++) {
      port.send(frame(60_000, count), 60_000 + VIRTIO_HEADER_BYTES)
      loop.turn(0)
    }
    expect(writer.droppedFrames).toBeGreaterThan(10)
    writer.end()
    const pieces: Buffer[] = []
    const piece = Buffer.alloc(65_536)
    while (summaries.length === 0) {
      const count = readSync(reader, piece)
      pieces.push(Buffer.from(piece.subarray(0, count)))
      loop.turn(10)
    }
    for (let count = readSync(reader, piece); count > 0; count = readSync(reader, piece)) {
      pieces.push(Buffer.from(piece.subarray(0, count)))
    }
    closeSync(reader)
    const packets = readBlocks(Buffer.concat(pieces)).filter(({ type }) => type === PACKET)
    expect(packets.length + writer.droppedFrames).toBe(40)
  })

  it('that goes away ends the capture, and the guest’s frames go on', () => {
    const [reader, fd] = makeSocketPair()
    start({ fd })
    closeSync(reader)
    while (summaries.length === 0) loop.turn(10)
    expect(summaries).toMatchObject([{ reason: 'reader' }])
    expect(port.capture).toBeUndefined()
    expect(port.send(frame(60, 1), 60 + VIRTIO_HEADER_BYTES)).toBe(true)
  })

  it('that goes away in the middle of a frame ends the capture with EPIPE', () => {
    const [reader, fd] = makeSocketPair()
    start({ fd })
    for (let count = 0; count < 20; count++) port.send(frame(65_000, 1), 65_000 + VIRTIO_HEADER_BYTES)
    loop.turn(0)
    closeSync(reader)
    port.send(frame(60, 1), 60 + VIRTIO_HEADER_BYTES)
    loop.turn(0)
    expect(summaries).toMatchObject([{ reason: 'reader', errno: EPIPE }])
  })

  it('is let go at once when the writer is disposed of', () => {
    const [reader, fd] = makeSocketPair()
    const writer = start({ fd })
    for (let count = 0; count < 20; count++) port.send(frame(65_000, 1), 65_000 + VIRTIO_HEADER_BYTES)
    loop.turn(0)
    writer[Symbol.dispose]()
    expect(summaries).toMatchObject([{ reason: 'ended' }])
    expect(() => readSync(fd, Buffer.alloc(1))).toThrowError(/EBADF/)
    closeSync(reader)
  })
})

function start(options: Partial<CaptureOptions> & { readonly fd: number }) {
  return startCapture({
    context: loop,
    port,
    frameBytes: 65_600,
    limitBytes: 1 << 30,
    onEnd: (summary) => summaries.push(summary),
    ...options,
  })
}

function captureToFile(options: Partial<CaptureOptions> = {}) {
  const path = join(folder, `${Math.random()}.pcapng`)
  return { path, writer: start({ fd: openSync(path, 'w'), ...options }) }
}

function makePort(): GuestPort {
  const device: FrameDevice = {
    fd: -1,
    isGone: () => false,
    receive: () => -EAGAIN,
    send: (_header, headerBytes, _payload, _offset, payloadBytes) => headerBytes + payloadBytes,
    stats: () => ({ overruns: 0 }),
    close: () => undefined,
  }
  return new GuestPort({
    index: 1,
    id: 'c0ffee',
    name: 'web',
    mac: Uint8Array.of(0, 0x16, 0x3e, 1, 2, 3),
    ipv4: parseAddress('10.75.3.4'),
    ipv6: parseAddress('fdd4:1476:6c7e::a4b:304'),
    mtu: 1500,
    configuration: 'static',
    mayMeetGuests: true,
    policy: compilePolicy([], [], defaultSettings),
    device,
    inFlightLimitBytes: 1 << 20,
  })
}

/** An empty virtio-net header and `bytes` of the same value. */
function frame(bytes: number, value: number): PinnedBuffer {
  const buffer = new PinnedBuffer(bytes + VIRTIO_HEADER_BYTES)
  buffer.bytes.fill(value, VIRTIO_HEADER_BYTES)
  return buffer
}

interface Block {
  readonly type: number
  readonly body: Buffer
}

function readBlocks(file: Buffer): Block[] {
  const blocks: Block[] = []
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4)
    expect(length % 4).toBe(0)
    expect(file.readUInt32LE(at + length - 4)).toBe(length)
    blocks.push({ type: file.readUInt32LE(at), body: file.subarray(at + 8, at + length - 4) })
    at += length
  }
  return blocks
}

function readPacket(block: Block | undefined) {
  if (block?.type !== PACKET) throw new Error('No packet block')
  const { body } = block
  const captured = body.readUInt32LE(12)
  const options = 20 + ((captured + 3) & ~3)
  expect(body.readUInt32LE(options)).toBe(0x0004_0002)
  return {
    timeUs: body.readUInt32LE(4) * 2 ** 32 + body.readUInt32LE(8),
    wireBytes: body.readUInt32LE(16),
    data: body.subarray(20, 20 + captured),
    direction: body.readUInt32LE(options + 4),
  }
}

function count64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

function onesComplementSum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 65_536)
  return sum
}
