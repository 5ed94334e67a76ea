import { afterEach, describe, expect, it } from 'vitest'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { closeDescriptor, sendBytes } from '../../sys/socket.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import { guestFrame, icmpMessage, slowChecksum, tcpFrame } from '../frame/guest-frames.fixture.ts'
import { KernelStreamSockets } from '../tcp/kernel-stream-sockets.ts'
import { EngineHarness, seen, type TestGuest } from './engine-harness.fixture.ts'

const SYN = 2
const ACK = 16

/** The host's sockets, each connected at once to an end that the test holds. */
class PairSockets extends KernelStreamSockets {
  readonly ends: number[] = []

  override connect(): number {
    const [near, far] = makeSocketPair()
    this.ends.push(far)
    return near
  }
}

const sockets = new PairSockets()
afterEach(() => {
  for (const fd of sockets.ends.splice(0)) closeDescriptor(fd)
})

/** Segments that the engine sent: their payload's place and the size they are cut to. */
function segments(frames: readonly Uint8Array[]) {
  return frames.map((bytes) => {
    const { transport } = seen(bytes)
    const header = (transport.readUInt8(12) >> 4) * 4
    const gsoSize = (bytes[4] ?? 0) | ((bytes[5] ?? 0) << 8)
    const length = transport.length - header
    return { sequence: transport.readUInt32BE(4), length, cut: gsoSize > 0 ? gsoSize : length }
  })
}

describe.each([
  { family: 'IPv4', destination: '192.0.2.1', headers: 40, least: 536 },
  { family: 'IPv6', destination: '2001:db8::1', headers: 60, least: 1220 },
])('a guest that says that a packet was too big, $family', ({ destination, headers, least }) => {
  function open(harness: EngineHarness) {
    const guest = harness.addGuest(3)
    const source = headers === 40 ? guest.ipv4 : guest.ipv6
    const ends = { source, destination, sourcePort: 4000, destinationPort: 80 }
    const mss = Uint8Array.of(2, 4, (1500 - headers) >> 8, (1500 - headers) & 255)
    const options = { sourceMac: guest.mac }
    const opened = guest.send(tcpFrame({ ...ends, flags: SYN, sequence: 100, options: mss }, options))
    const synAck = seen(opened[0] ?? Buffer.alloc(0)).transport
    const acknowledgment = (synAck.readUInt32BE(4) + 1) >>> 0
    guest.send(tcpFrame({ ...ends, flags: ACK, sequence: 101, acknowledgment }, options))
    return { guest, source, ends }
  }

  /** The ICMP message of the guest's about a segment with this sequence number. */
  function tooBig(guest: TestGuest, source: string, sequence: number, mtu: number, guestPort = 4000): Buffer {
    const isIpv6 = headers === 60
    const quoted = tcpFrame({
      source: destination,
      destination: source,
      sourcePort: 80,
      destinationPort: guestPort,
      flags: ACK,
      sequence,
    }).subarray(24)
    const rest = Buffer.concat([Buffer.alloc(4), quoted])
    if (isIpv6) rest.writeUInt32BE(mtu, 0)
    else rest.writeUInt16BE(mtu, 2)
    const payload = icmpMessage(source, destination, isIpv6 ? 2 : 3, isIpv6 ? 0 : 4, rest)
    return guestFrame({ source, destination, protocol: isIpv6 ? 58 : 1, payload, sourceMac: guest.mac })
  }

  function sendFromHost(): void {
    const buffer = new PinnedBuffer(6_000)
    expect(sendBytes(sockets.ends[0] ?? -1, buffer, 0, 6_000)).toBe(6_000)
  }

  it('gets smaller ones, never smaller than every path takes', () => {
    using harness = new EngineHarness({}, sockets)
    const { guest, source } = open(harness)
    sendFromHost()
    harness.turn()
    const first = segments(guest.take())
    expect(first[0]?.cut).toBe(1500 - headers)
    const again = segments(guest.send(tooBig(guest, source, first[0]?.sequence ?? 0, 1_300)))
    expect(again[0]).toMatchObject({ sequence: first[0]?.sequence, cut: 1_300 - headers })
    const last = segments(guest.send(tooBig(guest, source, first[0]?.sequence ?? 0, 68)))
    expect(last[0]?.cut).toBe(least)
    expect(harness.logged).toEqual([])
  })

  it('is not believed about what is not on its way', () => {
    using harness = new EngineHarness({}, sockets)
    const { guest, source } = open(harness)
    sendFromHost()
    harness.turn()
    const [first] = segments(guest.take())
    const sequence = first?.sequence ?? 0
    const cut = tooBig(guest, source, sequence, 1_300)
    expect(guest.send(tooBig(guest, source, sequence + 100_000, 1_300))).toEqual([])
    expect(guest.send(tooBig(guest, source, sequence, 1_300, 4001))).toEqual([])
    // Quoted so shortly that nobody can tell what it is about.
    const short = cut.subarray(0, cut.length - 16)
    short.writeUInt16BE(short.readUInt16BE(headers === 40 ? 26 : 28) - 16, headers === 40 ? 26 : 28)
    short[0] = 2
    if (headers === 40) short.writeUInt16BE(0, 34)
    if (headers === 40) short.writeUInt16BE(slowChecksum(short.subarray(24, 44)), 34)
    guest.send(short)
    expect(guest.take()).toEqual([])
    expect(guest.drops).toEqual({})
    expect(harness.logged).toEqual([])
  })
})
