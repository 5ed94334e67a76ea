// Flows that share a guest with a small budget and little memory, over a wire that loses, a device that is full by chance,
// with ends that reset in the middle: after every turn whoever has something to do has somebody to wake it, and every flow
// that was left in peace brings its bytes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SeededRandom } from '../../seeded-random.fixture.ts'
import { EINVAL } from '../../sys/errno.ts'
import { brokenInvariants, flowsOf } from './flow-invariants.fixture.ts'
import type { HostSocket } from './host-sockets.fixture.ts'
import { ModelGuest, type ModelSegment } from './model-guest.fixture.ts'
import { ScriptedPeer, type Segment } from './scripted-peer.fixture.ts'
import { pattern } from './segment-text.fixture.ts'
import { ESTABLISHED } from './tcp-flow.ts'
import { RST } from './tcp-header.ts'
import { Wire, type WireOdds } from './wire.fixture.ts'

const TICK_MS = 10
const MOST_TICKS = 20_000
const GUEST_PORT = 2_000
const REMOTE_PORT = 9_000
const ECONNRESET = 104

const flowScript = fc.record({
  isInbound: fc.boolean(),
  startTick: fc.integer({ min: 0, max: 200 }),
  upBytes: fc.constantFrom(0, 300, 5_000, 70_000),
  downBytes: fc.constantFrom(0, 288, 4_000, 60_000, 200_000),
  pieceBytes: fc.constantFrom(100, 3_000, 70_000),
  fate: fc.constantFrom('peace', 'peace', 'guest resets', 'client resets'),
  fateTick: fc.integer({ min: 10, max: 400 }),
  segmentBytes: fc.constantFrom(1_400, 20_000),
  sack: fc.boolean(),
  windowShift: fc.constantFrom(undefined, 3, 7),
  window: fc.constantFrom(2_000, 20_000, 65_535),
  hostTakes: fc.constantFrom(Number.POSITIVE_INFINITY, 3_000),
})
type FlowScript = typeof flowScript extends fc.Arbitrary<infer T> ? T : never

const script = fc.record({
  canPeek: fc.boolean(),
  seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
  loss: fc.constantFrom(0, 0, 0.02, 0.1),
  duplication: fc.constantFrom(0, 0.1),
  reordering: fc.constantFrom(0, 0.3),
  fullness: fc.constantFrom(0, 0.02, 0.2),
  refusals: fc.constantFrom(0, 0, 0.01),
  inFlightLimitBytes: fc.constantFrom(49_152, 131_072, 393_216),
  poolBytes: fc.constantFrom(8 * 65_536, 64 * 65_536, 1_024 * 65_536),
  flows: fc.array(flowScript, { minLength: 2, maxLength: 6 }),
})

/** One connection: the guest's end, the host's end, and what becomes of it. */
class Connection {
  readonly guest: ModelGuest
  readonly up: Buffer
  readonly down: Buffer
  socket: HostSocket | undefined
  isAbandoned = false
  readonly guestPort: number
  readonly #peer: ScriptedPeer
  readonly #given: FlowScript
  readonly #remotePort: number
  readonly #toGuest: Wire<Segment>
  readonly #fromGuest: Wire<ModelSegment>
  readonly #random: SeededRandom
  #isOpen = false
  #pushed = 0
  #hasEnded = false

  constructor(peer: ScriptedPeer, given: FlowScript, index: number, random: SeededRandom, odds: WireOdds) {
    this.#peer = peer
    this.#given = given
    this.#random = random
    this.guestPort = GUEST_PORT + index
    this.#remotePort = REMOTE_PORT + index
    this.up = pattern(given.upBytes, index)
    this.down = pattern(given.downBytes, index + 50)
    this.#toGuest = new Wire(random, odds)
    this.#fromGuest = new Wire(random, odds)
    this.guest = new ModelGuest(
      {
        ...given,
        bytes: this.up,
        isPassive: given.isInbound,
        guestPort: this.guestPort,
        remotePort: this.#remotePort,
      },
      1_000 * index - 2_000,
    )
  }

  get isDone(): boolean {
    if (this.isAbandoned) return true
    return this.guest.isDone && this.#hasEnded && this.socket?.isWriteShut === true
  }

  /** What happens to it at this moment, but for its frames to the guest. */
  live(tick: number): void {
    const { startTick, fateTick, fate } = this.#given
    if (tick < startTick) return
    if (tick === startTick && this.#given.isInbound) this.#openInbound()
    this.speak(tick)
    this.#openOutbound()
    this.#liveAtHost()
    if (tick < startTick + fateTick || this.isAbandoned || this.socket === undefined) return
    if (fate === 'client resets') {
      this.isAbandoned = true
      this.socket.fail(ECONNRESET)
    } else if (fate === 'guest resets') {
      const flow = flowsOf(this.#peer).find(({ guestPort }) => guestPort === this.guestPort)
      if (flow?.state !== ESTABLISHED) return
      this.isAbandoned = true
      this.#peer.send({
        flags: RST,
        sequence: flow.receiveNext,
        guestPort: this.guestPort,
        remotePort: this.#remotePort,
      })
    }
  }

  speak(tick: number): void {
    if (this.#isSilent()) return
    for (const segment of this.guest.speak(this.#peer.context.nowMs)) this.#fromGuest.put(segment, tick)
    for (const segment of this.#fromGuest.arrived(tick)) {
      this.#peer.sendInTurn(segment)
      // Turns end anywhere between frames.
      if (this.#random.chance(0.5)) this.#peer.settle()
    }
    this.#peer.settle()
  }

  put(segment: Segment, tick: number): void {
    this.#toGuest.put(segment, tick)
  }

  arrive(tick: number): void {
    for (const segment of this.#toGuest.arrived(tick)) if (!this.#isSilent()) this.guest.take(segment)
  }

  #isSilent(): boolean {
    return this.guest.wasReset || (this.isAbandoned && this.#given.fate === 'guest resets')
  }

  #openInbound(): void {
    const peer = this.#peer
    const socket = peer.host.open(this.#remotePort)
    this.socket = socket
    socket.capacity = this.#given.hostTakes
    this.#isOpen = true
    const { guestPort } = this
    peer.stack.openInbound(
      peer.port,
      socket.fd,
      ...peer.remote,
      this.#remotePort,
      guestPort,
      (isAccepted) => {
        // All of its SYNs were lost.
        if (!isAccepted) this.isAbandoned = true
      },
    )
    // The client does not wait for the guest.
    if (this.#random.chance(0.7)) this.#push()
  }

  #openOutbound(): void {
    if (this.#isOpen) return
    const socket = this.#peer.host.sockets.find(({ remotePort }) => remotePort === this.#remotePort)
    if (socket === undefined || this.#random.chance(0.5)) return
    this.#isOpen = true
    this.socket = socket
    socket.capacity = this.#given.hostTakes
    socket.connected()
  }

  #liveAtHost(): void {
    const { socket } = this
    if (socket === undefined || socket.state !== 'open' || this.isAbandoned) return
    if (socket.capacity < this.#given.hostTakes) socket.drain(this.#given.hostTakes - socket.capacity)
    if (this.#random.chance(0.5)) this.#push()
  }

  #push(): void {
    const { socket, down } = this
    if (socket === undefined || this.#hasEnded) return
    const some = Math.min(down.length - this.#pushed, this.#given.pieceBytes)
    const bytes = down.subarray(this.#pushed, this.#pushed + some)
    this.#pushed += some
    if (this.#pushed < down.length) socket.push(bytes)
    else {
      this.#hasEnded = true
      socket.end(bytes)
    }
  }
}

/** The guest's device in one moment: full, of no use for a frame, or as it should be. */
function changeDevice(peer: ScriptedPeer, random: SeededRandom, fullness: number, refusals: number): void {
  peer.device.refusal = random.chance(refusals) ? EINVAL : 0
  peer.device.isFull = random.chance(fullness)
  if (peer.device.isFull || peer.port.isWritable) return
  peer.port.isWritable = true
  peer.stack.portWritable(peer.port)
  peer.settle()
}

describe('TCP flows that share a guest', () => {
  it('never stand still while they have something to do, and bring what they were given', () => {
    fc.assert(
      fc.property(script, (given) => {
        const { inFlightLimitBytes, poolBytes } = given
        const peer = new ScriptedPeer({
          canPeek: given.canPeek,
          inFlightLimitBytes,
          limits: { poolBytes, allOutOfOrderBytes: poolBytes },
        })
        const random = new SeededRandom(given.seed)
        const connections = given.flows.map((flow, index) => new Connection(peer, flow, index, random, given))
        const carry = (tick: number) => {
          for (const segment of peer.takeAll())
            connections[segment.guestPort - GUEST_PORT]?.put(segment, tick)
          for (const connection of connections) connection.arrive(tick)
        }
        let tick = 0
        for (; tick < MOST_TICKS && !connections.every(({ isDone }) => isDone); tick++) {
          changeDevice(peer, random, given.fullness, given.refusals)
          for (const connection of connections) {
            connection.live(tick)
            expect(brokenInvariants(peer)).toEqual([])
          }
          peer.pass(TICK_MS)
          expect(brokenInvariants(peer)).toEqual([])
          expect(peer.port.inFlightBytes).toBeLessThanOrEqual(2 * inFlightLimitBytes)
          carry(tick)
        }
        for (const { isAbandoned, guest, socket, up, down, isDone, guestPort } of connections) {
          if (isAbandoned) continue
          expect([guestPort, isDone, guest.wasReset]).toEqual([guestPort, true, false])
          expect(socket?.received.equals(up)).toBe(true)
          expect(guest.received.equals(down)).toBe(true)
        }
        // When the last acknowledgements have come nothing is left.
        changeDevice(peer, random, 0, 0)
        for (const end = tick + 12_000; tick < end && peer.stack.flowCount > 0; tick++) {
          for (const connection of connections) connection.speak(tick)
          peer.pass(TICK_MS)
          expect(brokenInvariants(peer)).toEqual([])
          carry(tick)
        }
        expect([peer.stack.flowCount, peer.stack.poolBytes, peer.port.inFlightBytes]).toEqual([0, 0, 0])
      }),
      { numRuns: 200 },
    )
  }, 120_000)
})
