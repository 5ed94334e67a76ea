// Segments that no honest TCP would send, by the thousand: nothing throws, nothing grows, and a neighbour's flow goes on.
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../seeded-random.fixture.ts'
import { GUEST_PORT, ScriptedPeer } from './scripted-peer.fixture.ts'
import { pattern } from './segment-text.fixture.ts'
import { ACK } from './tcp-header.ts'

const SEGMENTS = 6_000
const CALM_PORT = 50_000

/** Mostly near the numbers that matter, sometimes anywhere. */
function near(random: SeededRandom, sequence: number): number {
  const kind = random.below(10)
  if (kind < 4) return sequence
  if (kind < 8) return (sequence + random.below(4_000) - 2_000) | 0
  if (kind < 9) return (sequence + random.below(4_000_000) - 2_000_000) | 0
  return (random.next() * 2 ** 32) | 0
}

function bytes(random: SeededRandom, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256))
}

/** Option bytes that are nearly right. */
function options(random: SeededRandom): Uint8Array {
  if (random.chance(0.5)) return new Uint8Array(0)
  const any = bytes(random, random.below(11) * 4)
  if (any.length >= 4 && random.chance(0.6))
    any.set([1, 1, 5, random.chance(0.8) ? 2 + 8 * random.below(5) : random.below(256)])
  return any
}

describe.each([4, 6] as const)('TCP over IPv%i and a guest that lies', (family) => {
  it.each([1, 2, 3])('takes any segment, seed %i', (seed) => {
    const random = new SeededRandom(seed)
    const limits = {
      outOfOrderBytes: 262_144,
      poolBytes: 4_194_304,
      flowInFlightBytes: 262_144,
      newFlowsPerSecond: 1e9,
    }
    const peer = new ScriptedPeer({ family, limits, canPeek: seed === 2 })
    // A neighbour, whose numbers nobody guesses.
    peer.sendSyn({ mss: 1460, windowShift: 7 }, { guestPort: CALM_PORT })
    const calm = peer.socket
    calm.connected()
    const calmEnds = {
      guestPort: CALM_PORT,
      sequence: peer.initial + 1,
      acknowledgment: (peer.take().sequence + 1) | 0,
    }
    peer.send(calmEnds)
    let calmBytes = 0
    for (let count = 0; count < SEGMENTS; count++) {
      if (peer.stack.flowCountOf(peer.port) < 2) {
        peer.takeAll()
        peer.send({ flags: 4, sequence: peer.sequence })
        peer.sequence = peer.initial
        peer.sendSyn({
          mss: 1 + random.below(2_000),
          windowShift: random.below(256),
          sack: random.chance(0.7),
        })
        peer.socket.capacity = random.chance(0.5) ? 0 : Number.POSITIVE_INFINITY
        peer.socket.connected()
        const answer = peer.sent.pop()
        if (answer !== undefined) peer.acknowledgment = (answer.sequence + 1) | 0
      }
      peer.sendInTurn({
        guestPort: random.chance(0.99) ? GUEST_PORT : 1 + random.below(65_535 - 20_000),
        flags: random.chance(0.8) ? ACK | (random.below(256) & ~6) : random.below(256),
        sequence: near(random, peer.sequence),
        acknowledgment: near(random, peer.acknowledgment),
        window: random.chance(0.3) ? random.below(4) : random.below(65_536),
        payload: random.chance(0.5) ? bytes(random, random.below(1_400)) : new Uint8Array(0),
        options: options(random),
        urgentPointer: random.below(65_536),
      })
      const { socket } = peer
      if (socket.state === 'open' && random.chance(0.2)) socket.push(bytes(random, random.below(3_000)))
      if (socket.state === 'open' && random.chance(0.01)) socket.end()
      if (random.chance(0.5)) peer.settle()
      if (random.chance(0.02)) peer.pass(random.below(2_000))
      for (const segment of peer.takeAll())
        if (segment.guestPort === GUEST_PORT) {
          peer.sequence = segment.acknowledgment
          peer.acknowledgment = (segment.sequence + segment.payload.length) | 0
        }
      expect(peer.stack.poolBytes).toBeLessThanOrEqual(limits.poolBytes / 4 + limits.outOfOrderBytes)
      expect(peer.port.inFlightBytes).toBeGreaterThanOrEqual(0)
      if (count % 1_000 === 0) {
        peer.send({ ...calmEnds, sequence: calmEnds.sequence + calmBytes, payload: pattern(100, calmBytes) })
        calmBytes += 100
      }
    }
    expect(calm.received).toEqual(pattern(calmBytes))
    peer.stack.portGone(peer.port)
    expect([peer.stack.flowCount, peer.stack.poolBytes, peer.port.inFlightBytes]).toEqual([0, 0, 0])
    expect(peer.host.sockets.every(({ state }) => state !== 'open')).toBe(true)
  })
})
