// Whatever the wire does — loses, doubles, reorders, delays — and however the bytes are cut, both ends get the same bytes, and
// memory stays within its bounds.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../seeded-random.fixture.ts'
import { brokenInvariants } from './flow-invariants.fixture.ts'
import type { HostSocket } from './host-sockets.fixture.ts'
import { ModelGuest } from './model-guest.fixture.ts'
import { ScriptedPeer } from './scripted-peer.fixture.ts'
import { pattern } from './segment-text.fixture.ts'
import { Wire } from './wire.fixture.ts'

const TICK_MS = 10
const MOST_MS = 600_000
const SLACK_BYTES = 8 * 65_536

const script = fc.record({
  family: fc.constantFrom(4 as const, 6 as const),
  canPeek: fc.boolean(),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  initial: fc.constantFrom(0, 1_000, -17, 0x7fff_fff0),
  upBytes: fc.integer({ min: 0, max: 120_000 }),
  downBytes: fc.integer({ min: 0, max: 300_000 }),
  segmentBytes: fc.constantFrom(1_400, 536, 997, 20_000, 60_000),
  loss: fc.double({ min: 0, max: 0.15, noNaN: true }),
  duplication: fc.double({ min: 0, max: 0.2, noNaN: true }),
  reordering: fc.double({ min: 0, max: 0.5, noNaN: true }),
  sack: fc.boolean(),
  windowShift: fc.constantFrom(undefined, 0, 3, 7),
  window: fc.constantFrom(4_000, 20_000, 65_535),
  windowBytes: fc.constantFrom(8_000, 65_536, 1_048_576),
  flowInFlightBytes: fc.constantFrom(20_000, 131_072, 1_048_576),
  hostTakes: fc.constantFrom(Number.POSITIVE_INFINITY, 3_000, 50_000),
})

describe('TCP over any wire', () => {
  it('brings the same bytes to both ends in bounded memory', () => {
    fc.assert(
      fc.property(script, (given) => {
        const { windowBytes, flowInFlightBytes } = given
        const peer = new ScriptedPeer({
          family: given.family,
          canPeek: given.canPeek,
          initial: given.initial,
          limits: { windowBytes, flowInFlightBytes },
        })
        const up = pattern(given.upBytes)
        const down = pattern(given.downBytes, 77)
        const guest = new ModelGuest({ ...given, bytes: up }, given.initial)
        const toGuest = new Wire<ReturnType<ScriptedPeer['take']>>(new SeededRandom(given.seed), given)
        const fromGuest = new Wire<ReturnType<ModelGuest['speak']>[number]>(
          new SeededRandom(given.seed + 1),
          given,
        )
        const random = new SeededRandom(given.seed + 2)
        let socket: HostSocket | undefined
        let pushed = 0
        let hasEnded = false
        let tick = 0
        const isDone = () => socket !== undefined && guest.isDone && socket.isWriteShut && hasEnded
        for (; tick * TICK_MS < MOST_MS && !isDone(); tick++) {
          for (const segment of guest.speak(peer.context.nowMs)) fromGuest.put(segment, tick)
          for (const segment of fromGuest.arrived(tick)) {
            peer.sendInTurn(segment)
            // Turns end anywhere between frames.
            if (random.chance(0.5)) peer.settle()
          }
          peer.settle()
          if (socket === undefined && peer.host.sockets.length > 0) {
            socket = peer.socket
            socket.capacity = given.hostTakes
            socket.connected()
          } else if (socket !== undefined && socket.state === 'open') {
            if (socket.capacity < given.hostTakes) socket.drain(given.hostTakes - socket.capacity)
            const some = Math.min(down.length - pushed, 1 + Math.floor(random.next() * 40_000))
            if (some > 0) socket.push(down.subarray(pushed, pushed + some))
            pushed += some
            if (pushed === down.length && !hasEnded) {
              hasEnded = true
              socket.end()
            }
          }
          peer.pass(TICK_MS)
          for (const segment of peer.takeAll()) toGuest.put(segment, tick)
          for (const segment of toGuest.arrived(tick)) guest.take(segment)
          expect(brokenInvariants(peer)).toEqual([])
          // A slot may be a quarter full before the next is begun.
          expect(peer.stack.poolBytes).toBeLessThanOrEqual(
            4 * (flowInFlightBytes + 2 * windowBytes) + SLACK_BYTES,
          )
        }
        expect(guest.wasReset).toBe(false)
        expect(isDone()).toBe(true)
        expect(socket?.received.equals(up)).toBe(true)
        expect(guest.received.equals(down)).toBe(true)
        // When the last acknowledgements have come nothing is left.
        for (let rest = 0; rest < 3_000 && peer.stack.flowCount > 0; rest++) {
          tick++
          for (const segment of guest.speak(peer.context.nowMs)) peer.sendInTurn(segment)
          peer.settle()
          peer.pass(TICK_MS)
          for (const segment of peer.takeAll()) guest.take(segment)
        }
        expect([peer.stack.flowCount, peer.stack.poolBytes, peer.port.inFlightBytes]).toEqual([0, 0, 0])
        expect(socket?.state).toBe('closed')
      }),
      { numRuns: 300 },
    )
  }, 120_000)
})
