import { describe, expect, it } from 'vitest'
import { EAGAIN } from '../../sys/errno.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { TimerWheel } from '../packet/timer-wheel.ts'
import { type Faults, FaultyDevice } from './faulty-device.fixture.ts'
import { MemoryDevice } from './memory-device.fixture.ts'

const FRAMES = 2_000

class Wire {
  nowMs = 0
  readonly timers = new TimerWheel(0)
  readonly inner = new MemoryDevice()
  readonly device: FaultyDevice
  readonly #buffer = new PinnedBuffer(64)

  constructor(faults: Partial<Faults>, seed = 1) {
    this.device = new FaultyDevice(this.inner, {
      seed,
      toGuest: faults,
      fromGuest: faults,
      timers: this.timers,
      nowMs: () => this.nowMs,
    })
  }

  pass(milliseconds: number): void {
    for (const end = this.nowMs + milliseconds; this.nowMs < end; ) {
      this.nowMs += 10
      this.timers.advance(this.nowMs)
    }
  }

  send(number: number): void {
    this.#buffer.view.setUint32(0, number)
    expect(this.device.send(this.#buffer, 4, this.#buffer, 0, 0)).toBe(4)
  }

  /** The numbers of the frames that arrived at the guest. */
  get sent(): number[] {
    return this.inner.sent.splice(0).map((frame) => new DataView(frame.buffer).getUint32(0))
  }

  receive(): number {
    const length = this.device.receive(this.#buffer)
    return length < 0 ? length : this.#buffer.view.getUint32(0)
  }

  receiveAll(): number[] {
    const numbers: number[] = []
    for (let number = this.receive(); number >= 0; number = this.receive()) numbers.push(number)
    return numbers
  }
}

function numbered(number: number): Buffer {
  const frame = Buffer.alloc(4)
  frame.writeUInt32BE(number)
  return frame
}

const all = Array.from({ length: FRAMES }, (_, index) => index)

describe('FaultyDevice', () => {
  it('does no harm without faults, in both directions', () => {
    const wire = new Wire({})
    for (const number of all) wire.send(number)
    expect(wire.sent).toEqual(all)
    for (const number of all) wire.inner.push(numbered(number))
    expect(wire.receiveAll()).toEqual(all)
    expect(wire.receive()).toBe(-EAGAIN)
  })

  it('loses and doubles about as many as it was told, the same ones for the same seed', () => {
    const run = (seed: number) => {
      const wire = new Wire({ loss: 0.05, duplication: 0.1 }, seed)
      for (const number of all) wire.send(number)
      return wire.sent
    }
    const sent = run(1)
    const lost = FRAMES - new Set(sent).size
    expect(lost).toBeGreaterThan(FRAMES * 0.03)
    expect(lost).toBeLessThan(FRAMES * 0.07)
    expect(sent.length - new Set(sent).size).toBeGreaterThan(FRAMES * 0.07)
    expect(run(1)).toEqual(sent)
    expect(run(2)).not.toEqual(sent)
  })

  it('reorders, and brings every frame in the end', () => {
    const wire = new Wire({ reordering: 0.05 })
    const arrived: number[] = []
    for (const number of all) {
      wire.inner.push(numbered(number))
      wire.pass(10)
      arrived.push(...wire.receiveAll())
    }
    wire.pass(50)
    arrived.push(...wire.receiveAll())
    expect(arrived).not.toEqual(all)
    expect([...arrived].sort((one, other) => one - other)).toEqual(all)
  })

  it('delays, and tells by itself when frames are due', () => {
    const wire = new Wire({ delayMs: 100 })
    const told: number[] = []
    wire.device.onDelayedFrames = () => told.push(...wire.receiveAll())
    wire.inner.push(numbered(7))
    expect(wire.receive()).toBe(-EAGAIN)
    wire.send(8)
    wire.pass(90)
    expect(told).toEqual([])
    expect(wire.sent).toEqual([])
    wire.pass(20)
    expect(told).toEqual([7])
    expect(wire.sent).toEqual([8])
    wire.send(9)
    wire.device.close()
    wire.pass(200)
    expect(wire.sent).toEqual([])
    expect(wire.inner.isClosed).toBe(true)
  })
})
