// What one guest may have, and how its flows share it: net limits, fairness, a device that is full.
import { describe, expect, it } from 'vitest'
import { ScriptedPeer } from './scripted-peer.fixture.ts'
import { flagNames, pattern } from './segment-text.fixture.ts'
import { ACK } from './tcp-header.ts'

const dropsOf = (peer: ScriptedPeer) => peer.port.drops.reduce((sum, count) => sum + count)

describe('TCP limits of a guest', () => {
  it('resets the oldest half-open flow when there are too many', () => {
    const peer = new ScriptedPeer({ limits: { tcpHalfOpen: 3 } })
    for (let guestPort = 1; guestPort <= 4; guestPort++) peer.sendSyn({}, { guestPort })
    const reset = peer.take()
    expect(flagNames(reset.flags)).toBe('RA')
    expect(reset.guestPort).toBe(1)
    expect(peer.host.sockets.map(({ state }) => state)).toEqual(['reset', 'open', 'open', 'open'])
    expect(dropsOf(peer)).toBe(1)
  })

  it('does not count established flows as half open', () => {
    const peer = new ScriptedPeer({ limits: { tcpHalfOpen: 1 } })
    for (let guestPort = 1; guestPort <= 5; guestPort++) {
      peer.sendSyn({}, { guestPort })
      peer.socket.connected()
      const answer = peer.take()
      peer.send({ guestPort, sequence: peer.initial + 1, acknowledgment: (answer.sequence + 1) | 0 })
    }
    expect(peer.host.sockets.every(({ state }) => state === 'open')).toBe(true)
  })

  it('resets a SYN beyond the flows of the guest, and of the engine', () => {
    for (const limits of [{ tcpFlows: 2 }, { allTcpFlows: 2 }]) {
      const peer = new ScriptedPeer({ limits })
      for (let guestPort = 1; guestPort <= 3; guestPort++) peer.sendSyn({}, { guestPort })
      expect(peer.take()).toMatchObject({ guestPort: 3 })
      expect(peer.host.sockets).toHaveLength(2)
    }
  })

  it('lets a guest open so many flows a second: what is beyond is not answered, and comes again', () => {
    const peer = new ScriptedPeer({ limits: { newFlowsPerSecond: 10 } })
    for (let guestPort = 1; guestPort <= 25; guestPort++) peer.sendSyn({}, { guestPort })
    expect(peer.host.sockets).toHaveLength(10)
    expect(peer.sent).toHaveLength(0)
    expect(dropsOf(peer)).toBe(15)
    peer.pass(1_000)
    peer.sendSyn({}, { guestPort: 25 })
    expect(peer.host.sockets).toHaveLength(11)
  })

  it('survives a flood of SYNs: sockets and memory stay bounded', () => {
    const peer = new ScriptedPeer({ limits: { tcpHalfOpen: 100 } })
    for (let attempt = 0; attempt < 5_000; attempt++)
      peer.sendSyn({}, { guestPort: 1 + (attempt % 60_000), sequence: attempt * 7_919 })
    expect(peer.host.sockets.filter(({ state }) => state === 'open')).toHaveLength(100)
    expect(peer.stack.flowCount).toBe(100)
    expect(peer.stack.poolBytes).toBe(0)
  })
})

describe('flows that share a guest', () => {
  function connectMany(peer: ScriptedPeer, count: number) {
    return Array.from({ length: count }, (_, index) => {
      const guestPort = 1_000 + index
      peer.sendSyn({ mss: 1460, windowShift: 10, sack: true }, { guestPort })
      const { socket } = peer
      socket.connected()
      const next = (peer.take().sequence + 1) | 0
      peer.send({ guestPort, sequence: peer.initial + 1, acknowledgment: next })
      return { socket, guestPort, next, bytes: 0 }
    })
  }

  it("keeps the sum of what is in flight within the guest's budget, and starves none of them", () => {
    const inFlightLimitBytes = 393_216
    const peer = new ScriptedPeer({ inFlightLimitBytes })
    const flows = connectMany(peer, 40)
    const total = 1_000_000
    for (const { socket } of flows) socket.push(pattern(total))
    let most = 0
    let turns = 0
    const finishedAt: number[] = []
    while (finishedAt.length < flows.length && turns++ < 20_000) {
      most = Math.max(most, peer.port.inFlightBytes)
      const segment = peer.sent.shift()
      if (segment === undefined) throw new Error(`nothing is sent, ${finishedAt.length} are done`)
      const flow = flows[segment.guestPort - 1_000]
      if (flow === undefined) throw new Error('a segment of no flow')
      expect(segment.sequence).toBe(flow.next)
      flow.next = (flow.next + segment.payload.length) | 0
      flow.bytes += segment.payload.length
      if (flow.bytes === total) finishedAt.push(turns)
      peer.send({ guestPort: flow.guestPort, sequence: peer.initial + 1, acknowledgment: flow.next })
    }
    expect(most).toBeLessThanOrEqual(inFlightLimitBytes)
    expect(most).toBeGreaterThan(inFlightLimitBytes / 2)
    // All but the first, which had the guest for itself for a moment, end late: shared, not one after the other.
    expect(finishedAt[1]).toBeGreaterThan(turns * 0.7)
    expect(peer.port.inFlightBytes).toBe(0)
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('waits while the device is full, and goes on when it is not; acknowledgements too', () => {
    const peer = new ScriptedPeer()
    const [flow] = connectMany(peer, 1)
    if (flow === undefined) throw new Error('no flow')
    peer.device.isFull = true
    flow.socket.push(pattern(200_000))
    const ends = { guestPort: flow.guestPort, sequence: peer.initial + 1 }
    peer.send({ ...ends, acknowledgment: flow.next, payload: pattern(50) })
    expect(flow.socket.received).toEqual(pattern(50))
    expect(peer.sent).toHaveLength(0)
    // It reads no more than it keeps.
    expect(flow.socket.unreadBytes).toBeGreaterThan(100_000)
    peer.device.isFull = false
    peer.port.isWritable = true
    peer.stack.portWritable(peer.port)
    const segments = peer.takeAll()
    expect(Buffer.concat(segments.map(({ payload }) => payload))).toEqual(pattern(200_000))
    expect(segments.at(-1)?.acknowledgment).toBe(peer.initial + 51)
  })

  it('lets flows wait for memory and serves them when there is some, without another event', () => {
    // A guest may hold a quarter: two slots.
    const peer = new ScriptedPeer({ limits: { poolBytes: 8 * 65_536 } })
    const flows = connectMany(peer, 6)
    for (const { socket } of flows) socket.push(pattern(40_000))
    const received = new Map<number, number>()
    for (let turns = 0; turns < 100; turns++) {
      expect(peer.stack.poolBytes).toBeLessThanOrEqual(2 * 65_536)
      const segment = peer.sent.shift()
      if (segment === undefined) {
        peer.pass(60)
        if (peer.sent.length === 0) break
        continue
      }
      const next = (segment.sequence + segment.payload.length) | 0
      received.set(segment.guestPort, (received.get(segment.guestPort) ?? 0) + segment.payload.length)
      peer.send({
        flags: ACK,
        guestPort: segment.guestPort,
        sequence: peer.initial + 1,
        acknowledgment: next,
      })
    }
    expect([...received.values()]).toEqual(flows.map(() => 40_000))
    expect(peer.stack.poolBytes).toBe(0)
  })

  it('keeps little for flows that say little', () => {
    const peer = new ScriptedPeer()
    const flows = connectMany(peer, 300)
    for (let round = 0; round < 3; round++)
      for (const flow of flows) {
        flow.socket.push(pattern(50))
        for (const { payload } of peer.takeAll()) flow.next = (flow.next + payload.length) | 0
        if (round < 2)
          peer.send({ guestPort: flow.guestPort, sequence: peer.initial + 1, acknowledgment: flow.next })
      }
    // All of them have bytes in flight now.
    expect(peer.port.inFlightBytes).toBe(300 * 50)
    expect(peer.stack.poolBytes).toBeLessThanOrEqual(300 * 2_048)
  })
})
