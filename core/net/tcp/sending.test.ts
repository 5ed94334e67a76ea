// Bytes from the host to the guest: net cases 6, 8, 16, 21, 28.
import { describe, expect, it } from 'vitest'
import { ScriptedPeer, type Segment } from './scripted-peer.fixture.ts'
import { flagNames, pattern, sackOption } from './segment-text.fixture.ts'
import { ACK, RST } from './tcp-header.ts'

const bytesOf = (segments: readonly Segment[]) => Buffer.concat(segments.map(({ payload }) => payload))
const endOf = (segment: Segment) => (segment.sequence + segment.payload.length) | 0

describe.each([
  [4, 'slots', false],
  [6, 'slots', false],
  [4, 'peeking', true],
  [6, 'peeking', true],
] as const)('TCP over IPv%i, sending, %s', (family, _store, canPeek) => {
  const mss = family === 4 ? 1460 : 1440

  it('sends what the host sends, in frames of up to 64 KiB made of whole segments', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(200_000))
    const segments = peer.takeAll()
    expect(bytesOf(segments)).toEqual(pattern(200_000))
    expect(segments).toHaveLength(4)
    for (const segment of segments.slice(0, -1)) expect(segment.payload.length % mss).toBe(0)
    for (const segment of segments) expect(segment.gsoSizeBytes).toBe(mss)
    peer.ack((peer.acknowledgment + 200_000) | 0)
    expect(peer.stack.poolBytes).toBe(0)
    expect(peer.port.inFlightBytes).toBe(0)
  })

  it('sends no more than the window, and goes on at its update (RFC 9293 §3.8.6)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect({ mss: 1460, sack: true })
    peer.ack(peer.acknowledgment, 10 * mss)
    socket.push(pattern(50_000))
    expect(bytesOf(peer.takeAll())).toHaveLength(10 * mss)
    expect(socket.unreadBytes).toBe(50_000 - 10 * mss)
    peer.ack((peer.acknowledgment + 10 * mss) | 0)
    expect(bytesOf(peer.takeAll())).toHaveLength(10 * mss)
  })

  it('stops at a zero window, asks with growing patience, and goes on when it opens (RFC 9293 §3.8.6.1, RFC 1122 §4.2.2.17)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.ack(peer.acknowledgment, 0)
    socket.push(pattern(5_000))
    expect(peer.sent).toHaveLength(0)
    const gaps: number[] = []
    for (let probes = 0; probes < 4; probes++) {
      const from = peer.context.nowMs
      while (peer.sent.length === 0) peer.pass(10)
      gaps.push(peer.context.nowMs - from)
      expect(peer.take()).toMatchObject({ flags: ACK, sequence: (peer.acknowledgment - 1) | 0 })
      peer.ack(peer.acknowledgment, 0)
    }
    expect(gaps).toEqual([200, 400, 800, 1_600])
    // For as long as it takes: a guest that answers is alive.
    for (let seconds = 0; seconds < 600; seconds++) {
      peer.pass(1_000)
      if (peer.takeAll().length > 0) peer.ack(peer.acknowledgment, 0)
    }
    expect(socket.state).toBe('open')
    peer.ack(peer.acknowledgment, 0xffff)
    expect(bytesOf(peer.takeAll())).toEqual(pattern(5_000))
  })

  it('gives up a guest whose window is closed and that answers no probe (RFC 1122 §4.2.2.17)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.ack(peer.acknowledgment, 0)
    socket.push(pattern(5_000))
    peer.pass(200_000)
    expect(flagNames(peer.takeAll().at(-1)?.flags ?? 0)).toBe('RA')
    expect(socket.state).toBe('reset')
  })

  it('keeps a flow whose window shrank below what is in flight (RFC 9293 §3.8.6, RFC 1122 §4.2.2.16)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(100_000))
    const start = peer.acknowledgment
    peer.takeAll()
    peer.ack(start, 10)
    peer.pass(1_000)
    peer.takeAll()
    peer.ack((start + 50_000) | 0, 0)
    peer.pass(2_000)
    expect(socket.state).toBe('open')
    peer.takeAll()
    peer.ack((start + 50_000) | 0, 0xffff)
    const again = peer.takeAll()
    expect(again[0]?.sequence).toBe((start + 50_000) | 0)
    expect(bytesOf(again)).toEqual(pattern(100_000).subarray(50_000))
  })

  it('sends no small segment while data is in flight, unless it is all there is (RFC 9293 §3.8.6.2.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect({ mss: 1460 })
    peer.ack(peer.acknowledgment, 4 * mss + 300)
    socket.push(pattern(20_000))
    expect(peer.takeAll().map(({ payload }) => payload.length)).toEqual([4 * mss])
    // The window moves on by a few bytes: nothing, until a segment fits.
    peer.ack((peer.acknowledgment + mss) | 0, 3 * mss + 900)
    expect(peer.sent).toHaveLength(0)
    peer.ack(peer.acknowledgment, 4 * mss)
    expect(peer.take().payload).toHaveLength(mss)
    // All there is goes at once, however small.
    const other = new ScriptedPeer({ family, canPeek })
    const chatty = other.connect()
    chatty.push(pattern(10))
    chatty.push(pattern(10, 10))
    expect(other.takeAll().map(({ payload }) => payload.length)).toEqual([10, 10])
  })

  it('sends into a window smaller than a segment only after waiting for a larger one (RFC 9293 §3.8.6.2.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect({ mss: 1460 })
    peer.ack(peer.acknowledgment, 1)
    socket.push(pattern(5_000))
    expect(peer.sent).toHaveLength(0)
    peer.pass(1_010)
    expect(peer.take().payload).toEqual(pattern(1))
  })

  it('times out after 200 ms at least, doubles, and sends everything again (RFC 6298 §2, §5)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(1_000))
    peer.takeAll()
    const times: number[] = []
    for (let count = 0; count < 4; count++) {
      const from = peer.context.nowMs
      while (peer.sent.length === 0) peer.pass(10)
      times.push(peer.context.nowMs - from)
      expect(bytesOf(peer.takeAll())).toEqual(pattern(1_000))
    }
    expect(times).toEqual([200, 400, 800, 1_600])
    expect(peer.port.retransmissions).toBe(4)
    // Answered: the next one waits 200 ms again.
    peer.ack((peer.acknowledgment + 1_000) | 0)
    socket.push(pattern(10))
    peer.takeAll()
    peer.pass(190)
    expect(peer.sent).toHaveLength(0)
    peer.pass(20)
    expect(peer.sent).toHaveLength(1)
  })

  it('follows the round trip with its timeout (RFC 6298 §2.2, §2.3)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    for (let count = 0; count < 8; count++) {
      socket.push(pattern(100))
      peer.takeAll()
      peer.pass(180)
      peer.ack((peer.acknowledgment + 100) | 0)
    }
    socket.push(pattern(100))
    peer.takeAll()
    peer.pass(230)
    expect(peer.sent).toHaveLength(0)
    peer.pass(300)
    expect(peer.sent).toHaveLength(1)
  })

  it('takes no sample of what was sent twice (RFC 6298 §3, Karn)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(100))
    peer.pass(3_500)
    peer.takeAll()
    peer.ack((peer.acknowledgment + 100) | 0)
    socket.push(pattern(100))
    peer.takeAll()
    peer.pass(220)
    expect(peer.sent).toHaveLength(1)
  })

  it('gives up after eight repetitions: both sides are reset (RFC 9293 §3.8.3)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(1_000))
    peer.take()
    peer.pass(150_000)
    const segments = peer.takeAll()
    expect(segments.filter(({ payload }) => payload.length === 1_000)).toHaveLength(8)
    expect(flagNames(segments.at(-1)?.flags ?? 0)).toBe('RA')
    expect(socket.state).toBe('reset')
    expect(peer.stack.poolBytes).toBe(0)
    expect(peer.port.inFlightBytes).toBe(0)
  })

  it('repeats the first segment at the third duplicate acknowledgement (RFC 5681 §3.2)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect({ mss: 1460, windowShift: 7 })
    socket.push(pattern(150_000))
    const [first] = peer.takeAll()
    peer.ack()
    peer.ack()
    expect(peer.sent).toHaveLength(0)
    peer.ack()
    const again = peer.take()
    expect(again.sequence).toBe(first?.sequence)
    expect(peer.sent).toHaveLength(0)
    // The second frame was lost as well: a partial acknowledgement brings it (RFC 6582 §3.2).
    peer.ack(endOf(again))
    expect(peer.take().sequence).toBe(endOf(again))
  })

  it.each(['first', 'middle', 'last'] as const)(
    'fills the hole where the %s frame was lost, by SACK alone (RFC 2018 §5, RFC 6675)',
    (lost) => {
      const peer = new ScriptedPeer({ family, canPeek })
      const socket = peer.connect()
      socket.push(pattern(200_000))
      const segments = peer.takeAll()
      const at = lost === 'first' ? 0 : lost === 'middle' ? 1 : 2
      const hole = segments[at]
      const behind = segments[at + 1]
      if (hole === undefined || behind === undefined) throw new Error('too few frames')
      peer.send({
        acknowledgment: hole.sequence,
        options: sackOption([behind.sequence, endOf(behind)]),
      })
      const again = peer.take()
      expect(again.sequence).toBe(hole.sequence)
      expect(again.payload).toEqual(hole.payload)
      // Only the hole.
      expect(peer.sent).toHaveLength(0)
      peer.ack((segments[0]?.sequence ?? 0) + 200_000)
      expect(peer.stack.poolBytes).toBe(0)
      expect(peer.sent).toHaveLength(0)
    },
  )

  it.each([0, 5, 40])('fills the hole of one segment out of a frame: number %i (RFC 2018 §5)', (number) => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(44 * mss))
    const frame = peer.take()
    const start = (frame.sequence + number * mss) | 0
    peer.send({ acknowledgment: start, options: sackOption([(start + mss) | 0, endOf(frame)]) })
    const again = peer.take()
    expect([again.sequence, again.payload.length]).toEqual([start, mss])
  })

  it('takes three small segments beyond a gap for a loss as well (RFC 6675 §4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    for (let at = 0; at < 5; at++) socket.push(pattern(100, at * 100))
    const { sequence } = peer.takeAll()[0] as Segment
    for (let count = 2; count <= 4; count++) {
      expect(peer.sent).toHaveLength(0)
      peer.send({
        acknowledgment: sequence,
        options: sackOption([sequence + 100, sequence + count * 100]),
      })
    }
    expect(peer.take()).toMatchObject({ sequence, payload: pattern(100) })
  })

  it('fills several holes once each, and again when they stay (RFC 6675 §4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(40 * mss))
    const { sequence } = peer.take()
    const at = (segments: number) => (sequence + segments * mss) | 0
    const options = sackOption([at(2), at(4)], [at(6), at(8)], [at(10), at(20)])
    peer.send({ acknowledgment: sequence, options })
    expect(peer.takeAll().map((again) => [again.sequence, again.payload.length])).toEqual([
      [sequence, 2 * mss],
      [at(4), 2 * mss],
      [at(8), 2 * mss],
    ])
    peer.send({
      acknowledgment: sequence,
      options: sackOption([at(2), at(4)], [at(6), at(8)], [at(10), at(21)]),
    })
    expect(peer.sent).toHaveLength(0)
    peer.context.nowMs += 50
    peer.send({
      acknowledgment: sequence,
      options: sackOption([at(2), at(4)], [at(6), at(8)], [at(10), at(22)]),
    })
    expect(peer.takeAll()[0]?.sequence).toBe(sequence)
  })

  it('believes no SACK block outside of what is in flight (RFC 2018 §5)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(10_000))
    const { sequence } = peer.take()
    const lies: (readonly [number, number])[] = [
      [sequence + 5_000, sequence + 20_000],
      [sequence - 10_000, sequence + 9_000],
      [sequence + 9_000, sequence + 1_000],
      [sequence + 1_000, sequence + 1_000],
    ]
    for (const lie of lies) peer.send({ acknowledgment: sequence, options: sackOption(lie) })
    expect(peer.sent).toHaveLength(0)
    // And a list that is longer than it is.
    peer.send({ acknowledgment: sequence, options: Uint8Array.of(5, 200, 1, 2, 3, 4, 5, 6) })
    peer.send({ acknowledgment: sequence, options: Uint8Array.of(5, 6, 1, 2, 3, 4, 0, 0) })
    expect(socket.state).toBe('open')
  })

  it('takes the tail again after two round trips when nothing comes back, and recovers by the answer (RFC 8985 §7)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(10 * mss))
    const { sequence } = peer.take()
    peer.pass(40)
    const probe = peer.take()
    expect(probe.sequence).toBe((sequence + 9 * mss) | 0)
    expect(probe.payload).toHaveLength(mss)
    expect(peer.sent).toHaveLength(0)
    // Everything before the probe was lost.
    peer.send({ acknowledgment: sequence, options: sackOption([probe.sequence, endOf(probe)]) })
    const again = peer.take()
    expect([again.sequence, again.payload.length]).toEqual([sequence, 9 * mss])
  })

  it('recovers when a whole window is lost, one frame first (RFC 6298 §5.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(300_000))
    const start = peer.acknowledgment
    peer.takeAll()
    peer.pass(40)
    peer.takeAll()
    peer.pass(220)
    const [again, ...more] = peer.takeAll()
    expect(again?.sequence).toBe(start)
    expect(more).toHaveLength(0)
    const received = [again as Segment]
    for (let turns = 0; turns < 20; turns++) {
      const last = received.at(-1)
      if (last === undefined) break
      peer.ack(endOf(last))
      received.push(...peer.takeAll())
    }
    expect(bytesOf(received)).toEqual(pattern(300_000))
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('skips what the guest already has after a timeout (RFC 2018 §5.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(100 * mss))
    const { acknowledgment: start } = peer
    peer.takeAll()
    peer.pass(260)
    const first = peer.takeAll().at(-1)
    if (first === undefined) throw new Error('nothing was sent again')
    // The guest had the second half all along.
    peer.send({
      acknowledgment: endOf(first),
      options: sackOption([(start + 50 * mss) | 0, (start + 100 * mss) | 0]),
    })
    peer.acknowledgment = endOf(first)
    const more = peer.takeAll()
    expect(endOf(more.at(-1) as Segment)).toBe((start + 50 * mss) | 0)
  })

  it('carries numbers across 2^32 (RFC 9293 §3.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.connect()
    peer.send({ flags: RST })
    // The stack's numbers move on with its clock: until they are about to go around.
    peer.context.nowMs += Math.floor(((0xffff_0000 - (peer.stackInitial >>> 0)) >>> 0) / 250)
    peer.sequence = peer.initial
    const socket = peer.connect()
    expect(peer.stackInitial >>> 0).toBeGreaterThan(0xfffe_0000)
    const start = peer.acknowledgment
    socket.push(pattern(400_000))
    const segments = peer.takeAll()
    expect(bytesOf(segments)).toEqual(pattern(400_000))
    // Half is acknowledged, the other half lost and sent again.
    peer.ack((start + 200_000) | 0)
    peer.pass(1_000)
    peer.takeAll()
    peer.ack((start + 400_000) | 0)
    expect((start + 400_000) >>> 0).toBeLessThan(start >>> 0)
    expect(peer.stack.poolBytes).toBe(0)
    expect(peer.port.inFlightBytes).toBe(0)
  })

  it('lowers its segments when the guest says they are too big, only for what is in flight, and not below the least (RFC 1191 §6.4, RFC 8201 §5.4, RFC 5927 §4.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(20_000))
    const { sequence, guestPort, remotePort } = peer.take()
    const tell = (about: number, mtu: number) =>
      peer.stack.icmpTooBig(peer.port, ...peer.remote, guestPort, remotePort, about | 0, mtu)
    tell(sequence - 1, 1_300)
    tell(sequence + 20_000, 1_300)
    tell(sequence, 9_000)
    expect(peer.sent).toHaveLength(0)
    tell(sequence, 1_300)
    const again = peer.take()
    expect(again.sequence).toBe(sequence)
    expect(again.gsoSizeBytes).toBe(family === 4 ? 1_260 : 1_240)
    tell(sequence, 68)
    expect(peer.take().gsoSizeBytes).toBe(family === 4 ? 536 : 1_220)
  })

  it('keeps what the guest does not take within its ring, for a minute and longer (net limits)', () => {
    const peer = new ScriptedPeer({ family, canPeek, limits: { flowInFlightBytes: 131_072 } })
    const socket = peer.connect()
    socket.push(pattern(2_000_000))
    const start = peer.acknowledgment
    expect(bytesOf(peer.takeAll()).length).toBeLessThanOrEqual(131_072)
    // It answers, and acknowledges nothing new: its window is closed.
    peer.ack((start + 60_000) | 0, 0)
    for (let seconds = 0; seconds < 60; seconds++) {
      peer.pass(1_000)
      peer.takeAll()
      peer.ack(peer.acknowledgment, 0)
      expect(peer.stack.poolBytes).toBeLessThanOrEqual(4 * 65_536)
    }
    expect(socket.unreadBytes).toBeGreaterThan(1_800_000)
    peer.window = 0xffff
    peer.ack()
    let next = peer.acknowledgment
    const received: Segment[] = []
    for (let turns = 0; turns < 200 && socket.unreadBytes + peer.sent.length > 0; turns++) {
      for (const segment of peer.takeAll())
        if (segment.sequence === next) {
          received.push(segment)
          next = endOf(segment)
        }
      peer.ack(next)
    }
    expect(bytesOf(received)).toEqual(pattern(2_000_000).subarray(60_000))
  })

  it('sends the last bytes and the end of the stream in one frame', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.connect().end(pattern(64))
    expect(peer.takeAll().map(({ flags }) => flagNames(flags))).toEqual(['FPA'])
  })
})
