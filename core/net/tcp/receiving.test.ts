// Bytes from the guest to the host: net cases 7, 9–13, 17, 19, 20, 28.
import { describe, expect, it } from 'vitest'
import { ScriptedPeer } from './scripted-peer.fixture.ts'
import { flagNames, pattern } from './segment-text.fixture.ts'
import { ACK, PSH, RST, SYN } from './tcp-header.ts'

const MIB = 1_048_576

describe.each([4, 6] as const)('TCP over IPv%i, receiving', (family) => {
  it('hands bytes to the host as they come and acknowledges what the host took (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    peer.sendData(pattern(1_000))
    peer.sendData(pattern(1_000, 1_000))
    expect(socket.received).toEqual(pattern(2_000))
    expect(peer.takeAll().at(-1)?.acknowledgment).toBe(peer.sequence)
  })

  it('acknowledges once a turn, however many segments came in it (RFC 9293 §3.8.6.3)', () => {
    const peer = new ScriptedPeer({ family })
    peer.connect()
    const { sequence } = peer
    for (let at = 0; at < 10; at++)
      peer.sendInTurn({ sequence: sequence + at * 100, payload: pattern(100, at * 100) })
    expect(peer.sent).toHaveLength(0)
    peer.settle()
    expect(peer.take().acknowledgment).toBe(sequence + 1_000)
    expect(peer.sent).toHaveLength(0)
  })

  it('keeps what lies beyond a gap, tells it at once by SACK, and acknowledges all when it is filled (RFC 9293 §3.10.7.4, RFC 2018 §4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    const { sequence } = peer
    peer.sendInTurn({ sequence: sequence + 100, payload: pattern(100, 100) })
    const first = peer.take()
    expect(first.acknowledgment).toBe(sequence)
    expect(first.sackBlocks).toEqual([[sequence + 100, sequence + 200]])
    peer.sendInTurn({ sequence: sequence + 300, payload: pattern(100, 300) })
    // The newest block comes first.
    expect(peer.take().sackBlocks).toEqual([
      [sequence + 300, sequence + 400],
      [sequence + 100, sequence + 200],
    ])
    peer.sendInTurn({ sequence: sequence + 200, payload: pattern(100, 200) })
    expect(peer.take().sackBlocks).toEqual([[sequence + 100, sequence + 400]])
    expect(socket.received).toHaveLength(0)
    peer.send({ sequence, payload: pattern(100) })
    const filled = peer.take()
    expect(filled.acknowledgment).toBe(sequence + 400)
    expect(filled.sackBlocks).toEqual([])
    expect(socket.received).toEqual(pattern(400))
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('tells four blocks at most, those touched last (RFC 2018 §4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.connect()
    const { sequence } = peer
    for (let run = 1; run <= 6; run++) peer.send({ sequence: sequence + run * 200, payload: pattern(100) })
    expect(
      peer
        .takeAll()
        .at(-1)
        ?.sackBlocks.map(([start]) => (start - sequence) / 200),
    ).toEqual([6, 5, 4, 3])
    peer.send({ sequence: sequence + 300, payload: pattern(50) })
    expect(peer.take().sackBlocks[0]).toEqual([sequence + 200, sequence + 350])
  })

  it('sends duplicate acknowledgements without SACK to a guest that does not know it (RFC 5681 §4.2)', () => {
    const peer = new ScriptedPeer({ family })
    peer.connect({ mss: 1460, windowShift: 7 })
    peer.sendInTurn({ sequence: peer.sequence + 100, payload: pattern(100, 100) })
    expect(peer.take().options).toHaveLength(0)
  })

  it('keeps the first copy of a byte where segments overlap: front, back, inside and around (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    const { sequence } = peer
    const letters = (letter: string, count: number) => Buffer.from(letter.repeat(count))
    peer.send({ sequence: sequence + 10, payload: letters('a', 10) })
    peer.send({ sequence: sequence + 30, payload: letters('b', 10) })
    // Inside, over the front, over the back, around both with the gap between.
    peer.send({ sequence: sequence + 12, payload: letters('x', 4) })
    peer.send({ sequence: sequence + 5, payload: letters('c', 10) })
    peer.send({ sequence: sequence + 35, payload: letters('d', 10) })
    peer.send({ sequence: sequence + 2, payload: letters('e', 50) })
    peer.send({ sequence, payload: letters('f', 8) })
    // Delivered by now: other bytes in its place change nothing.
    peer.send({ sequence: sequence + 40, payload: letters('z', 20) })
    const bytes = 'f'.repeat(8)
    expect(socket.received.toString()).toBe(
      `${bytes}${'c'.repeat(2)}${'a'.repeat(10)}${'e'.repeat(10)}${'b'.repeat(10)}${'d'.repeat(5)}${'e'.repeat(7)}${'z'.repeat(8)}`,
    )
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('cuts off what lies beyond its window (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, limits: { windowBytes: 10_000 } })
    const socket = peer.connect()
    socket.capacity = 0
    peer.sendData(pattern(9_000))
    peer.takeAll()
    peer.send({ payload: pattern(5_000, 9_000), gsoSizeBytes: 1_400 })
    const answer = peer.take()
    expect((answer.acknowledgment - peer.sequence) | 0).toBe(1_000)
    expect(answer.window).toBe(0)
    socket.drain(Number.POSITIVE_INFINITY)
    expect(socket.received).toEqual(pattern(10_000))
  })

  it.each([0xffff_fff0 | 0, 0x7fff_ff00])(
    'carries numbers across 2^32 and 2^31, from %i on (RFC 9293 §3.4)',
    (initial) => {
      const peer = new ScriptedPeer({ family, initial })
      const socket = peer.connect()
      for (let at = 0; at < 3_000; at += 100) peer.sendData(pattern(100, at))
      // And out of order around the edge.
      const { sequence } = peer
      peer.send({ sequence: (sequence + 100) | 0, payload: pattern(100, 3_100) })
      peer.send({ sequence, payload: pattern(100, 3_000) })
      expect(socket.received).toEqual(pattern(3_200))
      expect(peer.takeAll().at(-1)?.acknowledgment).toBe((sequence + 200) | 0)
    },
  )

  it('closes the window while the server reads nothing, keeps no more than it, and opens it when the server reads (RFC 9293 §3.8.6.2.2)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    socket.capacity = 0
    let window = MIB
    let total = 0
    while (window > 0) {
      const length = Math.min(window, 60_000)
      peer.sendData(pattern(length, total))
      total += length
      window = (peer.takeAll().at(-1)?.window ?? 0) << 5
    }
    expect(total).toBeLessThanOrEqual(MIB)
    expect(total).toBeGreaterThan(MIB - 65_536)
    expect(peer.stack.poolBytes).toBeLessThan(MIB + 2 * 65_536)
    // A minute in which the guest asks and is answered, and nothing grows.
    for (let probes = 0; probes < 12; probes++) {
      peer.pass(5_000)
      peer.send({ sequence: peer.sequence - 1 })
      expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence, window: 0 })
    }
    expect(peer.stack.poolBytes).toBeLessThan(MIB + 2 * 65_536)
    socket.drain(2 * 65_536)
    const update = peer.take()
    expect(flagNames(update.flags)).toBe('A')
    expect(update.window << 5).toBeGreaterThan(65_536)
    socket.drain(Number.POSITIVE_INFINITY)
    expect(socket.received).toEqual(pattern(total))
    expect(peer.takeAll().at(-1)?.window).toBe(32_768)
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('answers a zero window probe with a byte, which it does not take (RFC 9293 §3.8.6.1)', () => {
    const peer = new ScriptedPeer({ family, limits: { windowBytes: 4_000 } })
    const socket = peer.connect()
    socket.capacity = 0
    peer.sendData(pattern(4_000))
    expect(peer.take().window).toBe(0)
    peer.send({ payload: pattern(1, 4_000) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence, window: 0 })
    socket.drain(4_000)
    peer.takeAll()
    peer.sendData(pattern(1, 4_000))
    socket.drain(10)
    expect(socket.received).toEqual(pattern(4_001))
  })

  it('does not open the window by dribs and drabs (RFC 9293 §3.8.6.2.2)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    socket.capacity = 0
    for (let at = 0; at < 17; at++) peer.sendData(pattern(61_000, at * 61_000))
    peer.sendData(pattern(MIB - 17 * 61_000, 17 * 61_000))
    expect(peer.takeAll().at(-1)?.window).toBe(0)
    for (let at = 0; at < 10; at++) socket.drain(100)
    expect(peer.sent).toHaveLength(0)
    socket.drain(1_000)
    expect(peer.take().window << 5).toBeGreaterThanOrEqual(1_400)
  })

  it('answers a keep-alive (RFC 9293 §3.8.4)', () => {
    const peer = new ScriptedPeer({ family })
    peer.connect()
    peer.send({ sequence: peer.sequence - 1 })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    peer.send({ sequence: peer.sequence - 1, payload: pattern(1) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
  })

  it('answers a segment outside of the window with an acknowledgement and drops it (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    peer.send({ sequence: peer.sequence + 2 * MIB, payload: pattern(100) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    peer.send({ sequence: peer.sequence - 500, payload: pattern(100) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    // Half of the number space away.
    peer.send({ sequence: (peer.sequence + 0x8000_0000) | 0, payload: pattern(100) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    expect(socket.received).toHaveLength(0)
  })

  it('challenges the acknowledgement of what was never sent, and drops its data (RFC 5961 §5)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    peer.send({ acknowledgment: peer.acknowledgment + 1_000, payload: pattern(10) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    peer.send({ acknowledgment: peer.acknowledgment - 100_000_000, payload: pattern(10) })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    expect(socket.received).toHaveLength(0)
  })

  it('takes data that comes with an old acknowledgement (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    socket.push(pattern(1_000))
    const before = peer.acknowledgment
    peer.ack((before + 1_000) | 0)
    peer.send({ acknowledgment: before, payload: pattern(10) })
    expect(socket.received).toEqual(pattern(10))
  })

  it('drops a segment without ACK (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    peer.send({ flags: PSH, payload: pattern(10) })
    expect(socket.received).toHaveLength(0)
    expect(peer.sent).toHaveLength(0)
  })

  it('believes a reset only at the very next number, and challenges one elsewhere in the window, ten times a second (RFC 5961 §3)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    peer.send({ flags: RST, sequence: peer.sequence + 2 * MIB })
    peer.send({ flags: RST, sequence: peer.sequence - 1 })
    expect(peer.sent).toHaveLength(0)
    for (let at = 1; at <= 50; at++) peer.send({ flags: RST, sequence: peer.sequence + at })
    expect(peer.takeAll()).toHaveLength(10)
    peer.pass(1_000)
    peer.send({ flags: RST, sequence: peer.sequence + 7 })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    expect(socket.state).toBe('open')
    peer.send({ flags: RST })
    expect(socket.state).toBe('reset')
    expect(peer.sent).toHaveLength(0)
  })

  it('challenges a SYN in the middle of a connection (RFC 5961 §4)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    for (let at = 0; at < 30; at++) peer.send({ flags: SYN, sequence: peer.sequence + at * 1_000 })
    expect(peer.takeAll()).toHaveLength(10)
    expect(socket.state).toBe('open')
  })

  it('takes urgent data as data and does nothing with the pointer (RFC 6093 §5; CVE-2026-9539)', () => {
    const peer = new ScriptedPeer({ family })
    const socket = peer.connect()
    for (const urgentPointer of [0, 1, 5, 11, 65_535]) {
      const at = socket.received.length
      peer.send({ flags: ACK | PSH | 0x20, payload: pattern(10, at), urgentPointer })
      peer.sequence += 10
    }
    expect(socket.received).toEqual(pattern(50))
  })

  it('bounds what lies beyond gaps, for one guest (net limits)', () => {
    const peer = new ScriptedPeer({ family, limits: { outOfOrderBytes: 262_144 } })
    const socket = peer.connect()
    const { sequence } = peer
    for (let at = 1; at < 400; at++)
      peer.send({ sequence: sequence + at * 2_000, payload: pattern(1_000, at * 2_000) })
    expect(peer.stack.poolBytes).toBeLessThanOrEqual(262_144)
    peer.takeAll()
    // What was not kept comes again, in order.
    for (let at = 0; at < 400; at++)
      peer.send({ sequence: sequence + at * 2_000, payload: pattern(2_000, at * 2_000) })
    expect(socket.received).toEqual(pattern(800_000))
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('does not acknowledge what there is no memory for, and takes it when it comes again', () => {
    const peer = new ScriptedPeer({ family, limits: { poolBytes: 4 * 65_536 } })
    const socket = peer.connect()
    socket.capacity = 0
    const bytes = pattern(200_000)
    peer.send({ payload: bytes.subarray(0, 60_000), gsoSizeBytes: 1_400 })
    peer.send({
      sequence: peer.sequence + 60_000,
      payload: bytes.subarray(60_000, 120_000),
      gsoSizeBytes: 1_400,
    })
    const taken = ((peer.takeAll().at(-1)?.acknowledgment ?? 0) - peer.sequence) | 0
    expect(taken).toBeLessThan(120_000)
    expect(peer.stack.poolBytes).toBeLessThanOrEqual(4 * 65_536)
    socket.drain(Number.POSITIVE_INFINITY)
    peer.send({
      sequence: peer.sequence + taken,
      payload: bytes.subarray(taken, taken + 60_000),
      gsoSizeBytes: 1_400,
    })
    expect(socket.received).toEqual(bytes.subarray(0, taken + 60_000))
  })
})

describe('TCP, receiving', () => {
  it('carries more than 4 GiB in one flow: the numbers go around (RFC 9293 §3.4)', () => {
    const peer = new ScriptedPeer()
    const socket = peer.connect()
    socket.keepsBytes = false
    const payload = pattern(65_000)
    const frames = Math.ceil((2 ** 32 + 1_000_000) / payload.length)
    for (let frame = 0; frame < frames; frame++) {
      peer.sendInTurn({ payload, gsoSizeBytes: 1_460 })
      peer.sequence = (peer.sequence + payload.length) | 0
      peer.settle()
      peer.sent.length = 0
    }
    expect(socket.receivedBytes).toBe(frames * payload.length)
    const [report] = peer.stack.reports()
    expect(report?.outBytes).toBe(frames * payload.length)
  })
})
