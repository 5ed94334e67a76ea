import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { XenError } from '../errors.ts'
import { FrameReceiver, FrameSender, type RingMemory } from './frame-ring.ts'

const BASE = 16
const [PRODUCED, CONSUMED, WANT_DATA, WANT_SPACE] = [BASE, BASE + 16, BASE + 32, BASE + 48] as const

function ringMemory(sizeBytes: number, start = 0): RingMemory {
  const words = new Int32Array(1024)
  words[PRODUCED] = start | 0
  words[CONSUMED] = start | 0
  return { words, base: BASE, data: new Uint8Array(sizeBytes) }
}

/** The guest's side, written byte by byte from the contract alone. */
class GuestEnd {
  readonly #memory: RingMemory
  constructor(memory: RingMemory) {
    this.#memory = memory
  }

  #word(index: number): number {
    return (this.#memory.words[index] ?? 0) >>> 0
  }

  produce(bytes: Uint8Array): boolean {
    const { data, words } = this.#memory
    const produced = this.#word(PRODUCED)
    if (((produced - this.#word(CONSUMED)) >>> 0) + bytes.length > data.length) return false
    bytes.forEach((byte, index) => {
      data[(produced + index) % data.length] = byte
    })
    words[PRODUCED] = (produced + bytes.length) | 0
    return true
  }

  consume(maxBytes: number): number[] {
    const { data, words } = this.#memory
    const consumed = this.#word(CONSUMED)
    const length = Math.min(maxBytes, (this.#word(PRODUCED) - consumed) >>> 0)
    words[CONSUMED] = (consumed + length) | 0
    return Array.from({ length }, (_, index) => data[(consumed + index) % data.length] ?? 0)
  }
}

const size = fc.constantFrom(64, 256, 4096)
// Close to where the indices wrap, too.
const start = fc.oneof(
  fc.constantFrom(0, 2 ** 32 - 8, 2 ** 32 - 64),
  fc.nat(2 ** 29 - 1).map((n) => n * 8),
)
const pieces = fc.array(
  fc.integer({ min: 1, max: 12 }).map((n) => n * 8),
  { maxLength: 60 },
)

describe('FrameReceiver', () => {
  test('gives every byte once and in order, whatever the sizes and wherever the indices are', () => {
    fc.assert(
      fc.property(
        size,
        start,
        pieces,
        fc.infiniteStream(fc.boolean()),
        (sizeBytes, first, lengths, taking) => {
          const memory = ringMemory(sizeBytes, first)
          const guest = new GuestEnd(memory)
          const receiver = new FrameReceiver(memory)
          const [sent, received]: [number[], number[]] = [[], []]
          const takeAll = (): void => {
            const bytes = receiver.take()
            if (bytes === undefined) return
            received.push(...bytes)
            receiver.release(bytes.length)
          }
          let next = 0
          for (const length of lengths.filter((one) => one <= sizeBytes)) {
            const bytes = Uint8Array.from({ length }, () => next++ & 0xff)
            while (!guest.produce(bytes)) takeAll()
            sent.push(...bytes)
            if (taking.next().value) takeAll()
          }
          takeAll()
          expect(received).toEqual(sent)
          expect(receiver.take()).toBeUndefined()
        },
      ),
    )
  })

  test('goes on where an earlier reader stopped', () => {
    const memory = ringMemory(64, 24)
    new GuestEnd(memory).produce(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    expect(new FrameReceiver(memory).take()).toEqual(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
  })

  test('does not believe its own index in the page', () => {
    const memory = ringMemory(64)
    const guest = new GuestEnd(memory)
    const receiver = new FrameReceiver(memory)
    guest.produce(new Uint8Array(8).fill(1))
    memory.words[CONSUMED] = -1234
    const bytes = receiver.take()
    expect(bytes).toEqual(new Uint8Array(8).fill(1))
    receiver.release(8)
    expect(memory.words[CONSUMED]).toBe(8)
  })

  test('never reads outside of the ring, whatever the guest writes', () => {
    fc.assert(
      fc.property(size, fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })), (sizeBytes, values) => {
        const memory = ringMemory(sizeBytes)
        const receiver = new FrameReceiver(memory)
        for (const value of values) {
          memory.words[PRODUCED] = value
          try {
            const bytes = receiver.take()
            expect(bytes?.length ?? 0).toBeLessThanOrEqual(sizeBytes)
          } catch (error) {
            expect(error).toBeInstanceOf(XenError)
            expect(error).toMatchObject({ code: 'xen.guest-protocol' })
          }
        }
      }),
    )
  })

  test('notifies only a guest that waits for room, and once', () => {
    const memory = ringMemory(64)
    const guest = new GuestEnd(memory)
    const receiver = new FrameReceiver(memory)
    guest.produce(new Uint8Array(16))
    receiver.take()
    expect(receiver.release(8)).toBe(false)
    memory.words[WANT_SPACE] = 1
    expect(receiver.release(8)).toBe(true)
    expect(memory.words[WANT_SPACE]).toBe(0)
  })

  test('looks again after it has asked for a notification', () => {
    const memory = ringMemory(64)
    const receiver = new FrameReceiver(memory)
    expect(receiver.wantData()).toBe(false)
    expect(memory.words[WANT_DATA]).toBe(1)
    new GuestEnd(memory).produce(new Uint8Array(8))
    expect(receiver.wantData()).toBe(true)
  })

  test('is not made from a page whose indices make no sense', () => {
    const memory = ringMemory(64)
    memory.words[PRODUCED] = 65
    expect(() => new FrameReceiver(memory)).toThrow('claims 65 bytes in a ring of 64')
  })
})

describe('FrameSender', () => {
  test('puts every byte once and in order, and nothing that has no room', () => {
    fc.assert(
      fc.property(size, start, pieces, (sizeBytes, first, lengths) => {
        const memory = ringMemory(sizeBytes, first)
        const guest = new GuestEnd(memory)
        const sender = new FrameSender(memory)
        const [sent, received]: [number[], number[]] = [[], []]
        let next = 0
        for (const length of lengths.filter((one) => one <= sizeBytes)) {
          const bytes = Uint8Array.from({ length }, () => next++ & 0xff)
          while (!sender.put(bytes).done) {
            expect(sender.usedBytes + length).toBeGreaterThan(sizeBytes)
            received.push(...guest.consume(8))
          }
          sent.push(...bytes)
        }
        received.push(...guest.consume(sizeBytes))
        expect(received).toEqual(sent)
        expect(sender.usedBytes).toBe(0)
      }),
    )
  })

  test('notifies only a guest that waits for data, and once', () => {
    const memory = ringMemory(64)
    const sender = new FrameSender(memory)
    expect(sender.put(new Uint8Array(8)).mustNotify).toBe(false)
    memory.words[WANT_DATA] = 1
    expect(sender.put(new Uint8Array(8)).mustNotify).toBe(true)
    expect(sender.put(new Uint8Array(8)).mustNotify).toBe(false)
  })

  test('refuses a guest that claims to have read what was never sent', () => {
    const memory = ringMemory(64)
    const sender = new FrameSender(memory)
    sender.put(new Uint8Array(8))
    memory.words[CONSUMED] = 16
    expect(() => sender.put(new Uint8Array(8))).toThrow('the guest claims')
  })
})
