// How connections end: net cases 14, 15, 19.
import { describe, expect, it } from 'vitest'
import { ECONNRESET } from '../../sys/errno.ts'
import { ScriptedPeer, type Segment } from './scripted-peer.fixture.ts'
import { flagNames, pattern } from './segment-text.fixture.ts'
import { ACK, FIN, PSH, RST } from './tcp-header.ts'

const endOf = (segment: Segment) => (segment.sequence + segment.payload.length) | 0
const MINUTE_MS = 60_000

describe.each([
  [4, 'slots', false],
  [6, 'slots', false],
  [4, 'peeking', true],
  [6, 'peeking', true],
] as const)('TCP over IPv%i, closing, %s', (family, _store, canPeek) => {
  it("passes on the end of the guest's stream, and then the host's (RFC 9293 §3.6 case 2)", () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendFin()
    expect(peer.take().acknowledgment).toBe(peer.sequence)
    expect(socket.isWriteShut).toBe(true)
    expect(socket.state).toBe('open')
    socket.end()
    const fin = peer.take()
    expect(flagNames(fin.flags)).toBe('FA')
    peer.ack((fin.sequence + 1) | 0)
    expect(socket.state).toBe('closed')
    expect(peer.stack.flowCount).toBe(0)
    expect(peer.sent).toHaveLength(0)
  })

  it("passes on the end of the host's stream, and waits a moment for a lost acknowledgement (RFC 9293 §3.6 case 1, §3.6.1)", () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    peer.ack((peer.take().sequence + 1) | 0)
    expect(socket.state).toBe('open')
    peer.sendFin()
    const last = peer.take()
    expect(last.acknowledgment).toBe(peer.sequence)
    expect(socket.state).toBe('closed')
    // The guest has not seen it and repeats its FIN.
    peer.send({ flags: ACK | FIN, sequence: peer.sequence - 1 })
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    peer.pass(2_000)
    expect(peer.stack.flowCount).toBe(0)
  })

  it('opens a new connection on the ports of one in TIME-WAIT (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    peer.ack((peer.take().sequence + 1) | 0)
    peer.sendFin()
    peer.takeAll()
    peer.sendSyn({ mss: 1460 }, { sequence: peer.sequence + 10_000 })
    expect(peer.host.sockets).toHaveLength(2)
    peer.socket.connected()
    expect(peer.take().acknowledgment).toBe(peer.initial + 2 + 10_000 + 1)
  })

  it('takes a FIN with data (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendData(pattern(500), ACK | PSH | FIN)
    expect(socket.received).toEqual(pattern(500))
    expect(socket.isWriteShut).toBe(true)
    expect(peer.take().acknowledgment).toBe(peer.sequence)
  })

  it('waits with a FIN for what is missing before it (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    const { sequence } = peer
    peer.send({ flags: ACK | FIN, sequence: sequence + 200 })
    expect(peer.take().acknowledgment).toBe(sequence)
    peer.send({ sequence: sequence + 100, payload: pattern(100, 100) })
    expect(socket.isWriteShut).toBe(false)
    peer.takeAll()
    peer.send({ sequence, payload: pattern(100) })
    expect(peer.take().acknowledgment).toBe(sequence + 201)
    expect(socket.received).toEqual(pattern(200))
    expect(socket.isWriteShut).toBe(true)
  })

  it('acknowledges a FIN that is repeated (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.connect()
    peer.sendFin()
    peer.takeAll()
    for (let count = 0; count < 3; count++) {
      peer.send({ flags: ACK | FIN, sequence: peer.sequence - 1 })
      expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    }
  })

  it('ignores data after a FIN (RFC 9293 §3.10.7.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendData(pattern(10), ACK | FIN)
    peer.send({ payload: pattern(50) })
    peer.send({ sequence: peer.sequence - 5, payload: pattern(50) })
    expect(socket.received).toEqual(pattern(10))
    // And before the FIN has its turn.
    const other = new ScriptedPeer({ family, canPeek })
    const waiting = other.connect()
    const { sequence } = other
    other.send({ flags: ACK | FIN, sequence: sequence + 100 })
    other.send({ sequence, payload: pattern(300) })
    expect(waiting.received).toEqual(pattern(100))
  })

  it('still sends a megabyte after the guest has closed its side (RFC 9293 §3.10.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendFin()
    peer.takeAll()
    const total = 1_500_000
    socket.end(pattern(total))
    const received: Segment[] = []
    for (let turns = 0; turns < 50; turns++) {
      const segments = peer.takeAll()
      received.push(...segments)
      const last = segments.at(-1)
      if (last === undefined) break
      peer.ack((endOf(last) + ((last.flags & FIN) !== 0 ? 1 : 0)) | 0)
    }
    expect(Buffer.concat(received.map(({ payload }) => payload))).toEqual(pattern(total))
    expect(flagNames(received.at(-1)?.flags ?? 0)).toBe('FPA')
    expect(socket.state).toBe('closed')
    expect(peer.stack.flowCount).toBe(0)
  })

  it('still takes a megabyte after the host has closed its side (RFC 9293 §3.10.4)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    peer.ack((peer.take().sequence + 1) | 0)
    const total = 1_500_000
    for (let at = 0; at < total; at += 50_000) peer.sendData(pattern(50_000, at))
    peer.sendFin()
    expect(socket.received).toEqual(pattern(total))
    expect(socket.state).toBe('closed')
  })

  it("shuts the host's side only when it has taken everything (RFC 9293 §3.10.4)", () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.capacity = 100
    peer.sendData(pattern(1_000), ACK | FIN)
    expect(socket.isWriteShut).toBe(false)
    socket.drain(500)
    expect(socket.isWriteShut).toBe(false)
    socket.drain(500)
    expect(socket.received).toEqual(pattern(1_000))
    expect(socket.isWriteShut).toBe(true)
  })

  it('closes when both sides close at once (RFC 9293 §3.6 case 3)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    const fin = peer.take()
    // The guest sent its own before it saw ours.
    peer.sendFin()
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    expect([...peer.stack.reports()].map(({ state }) => state)).toEqual(['closing'])
    peer.ack((fin.sequence + 1) | 0)
    expect(socket.state).toBe('closed')
    peer.pass(2_000)
    expect(peer.stack.flowCount).toBe(0)
  })

  it('repeats its FIN until it is acknowledged (RFC 9293 §3.8.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.connect().end(pattern(100))
    const first = peer.take()
    peer.pass(220)
    const again = peer.take()
    expect(again).toEqual(first)
    // The data arrived, the FIN did not.
    peer.ack(endOf(first))
    peer.pass(450)
    const fin = peer.takeAll().at(-1)
    expect(fin).toMatchObject({ flags: ACK | FIN, sequence: endOf(first) })
    peer.ack((endOf(first) + 1) | 0)
    peer.pass(10_000)
    expect(peer.sent).toHaveLength(0)
  })

  it('resets the guest when the host was reset, and delivers first what was read before (RFC 9293 §3.6.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.ack(peer.acknowledgment, 0)
    socket.push(pattern(3_000))
    socket.fail(ECONNRESET)
    expect(peer.sent).toHaveLength(0)
    peer.ack(peer.acknowledgment, 0xffff)
    const data = peer.take()
    expect(data.payload).toEqual(pattern(3_000))
    expect(flagNames(data.flags)).toBe('PA')
    expect(peer.sent).toHaveLength(0)
    peer.ack(endOf(data))
    const reset = peer.take()
    expect(flagNames(reset.flags)).toBe('RA')
    expect(reset.sequence).toBe(endOf(data))
    expect(peer.stack.flowCount).toBe(0)
  })

  it('resets the guest at once when the host was reset and nothing is left (RFC 9293 §3.6.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.connect().fail(ECONNRESET)
    expect(flagNames(peer.take().flags)).toBe('RA')
    expect(peer.stack.flowCount).toBe(0)
  })

  it('resets the guest that sends to a host that is gone (RFC 9293 §3.6.1)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    peer.ack((peer.take().sequence + 1) | 0)
    // The server closed both ways: what comes now meets a reset, which send() tells.
    socket.send = () => -ECONNRESET
    peer.sendData(pattern(100))
    expect(flagNames(peer.takeAll().at(-1)?.flags ?? 0)).toBe('RA')
    expect(socket.state).toBe('reset')
  })

  it("lets the server see the guest's reset (RFC 9293 §3.6.1)", () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendData(pattern(100))
    peer.takeAll()
    peer.send({ flags: RST | ACK })
    expect(socket.state).toBe('reset')
    expect(peer.sent).toHaveLength(0)
    expect(peer.stack.flowCount).toBe(0)
  })

  it('lets go of the connection when the guest resets it before it is made (RFC 9293 §3.10.7.3)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    peer.sendSyn()
    peer.send({ flags: RST, sequence: peer.sequence })
    expect(peer.socket.state).toBe('reset')
    expect(peer.stack.flowCount).toBe(0)
  })

  it('sends no keep-alives of its own, and ends a flow that was silent for two hours and four minutes (RFC 5382 REQ-5)', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.pass(123 * MINUTE_MS)
    expect(peer.sent).toHaveLength(0)
    expect(socket.state).toBe('open')
    // A keep-alive of the guest is a sign of life.
    peer.send({ sequence: peer.sequence - 1 })
    peer.takeAll()
    peer.pass(123 * MINUTE_MS)
    expect(socket.state).toBe('open')
    peer.pass(2 * MINUTE_MS)
    expect(flagNames(peer.take().flags)).toBe('RA')
    expect(socket.state).toBe('reset')
  })

  it('ends a half-closed flow that was silent for four minutes', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    peer.sendFin()
    peer.takeAll()
    peer.pass(3 * MINUTE_MS)
    socket.push(pattern(10))
    peer.ack((peer.acknowledgment + 10) | 0)
    peer.takeAll()
    peer.pass(3 * MINUTE_MS)
    expect(socket.state).toBe('open')
    peer.pass(2 * MINUTE_MS)
    expect(socket.state).toBe('reset')
  })

  it("resets the host's sockets when the guest is gone, and sends nothing", () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.push(pattern(100_000))
    peer.sendSyn({}, { guestPort: 40_001 })
    peer.takeAll()
    peer.stack.portGone(peer.port)
    expect(peer.host.sockets.map(({ state }) => state)).toEqual(['reset', 'reset'])
    expect(peer.sent).toHaveLength(0)
    expect([peer.stack.flowCount, peer.stack.poolBytes, peer.port.inFlightBytes]).toEqual([0, 0, 0])
  })

  it('ends a flow whose last acknowledgement had to wait for the device', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const socket = peer.connect()
    socket.end()
    peer.acknowledgment = (peer.take().sequence + 1) | 0
    peer.device.isFull = true
    peer.sendFin()
    expect(socket.state).toBe('open')
    peer.device.isFull = false
    peer.port.isWritable = true
    peer.stack.portWritable(peer.port)
    expect(peer.take()).toMatchObject({ flags: ACK, acknowledgment: peer.sequence })
    expect(socket.state).toBe('closed')
  })

  it('names the states of its flows', () => {
    const peer = new ScriptedPeer({ family, canPeek })
    const states = () => [...peer.stack.reports()].map(({ state }) => state)
    peer.sendSyn()
    expect(states()).toEqual(['connecting'])
    peer.socket.connected()
    expect(states()).toEqual(['syn-received'])
    peer.acknowledgment = (peer.take().sequence + 1) | 0
    peer.send()
    expect(states()).toEqual(['established'])
    peer.socket.end()
    expect(states()).toEqual(['fin-wait-1'])
    peer.ack((peer.take().sequence + 1) | 0)
    expect(states()).toEqual(['fin-wait-2'])
    expect(peer.stack.flowCountOf(peer.port)).toBe(1)
  })
})
