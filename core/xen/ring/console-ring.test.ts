import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConsolePage } from './console-ring.ts'

// xen/include/public/io/console.h
const [IN_CONSUMED, IN_PRODUCED, OUT_CONSUMED, OUT_PRODUCED] = [768, 769, 770, 771] as const

function consolePage(start = 0) {
  const page = new ArrayBuffer(4096)
  const words = new Int32Array(page)
  const bytes = new Uint8Array(page)
  for (const index of [IN_CONSUMED, IN_PRODUCED, OUT_CONSUMED, OUT_PRODUCED]) words[index] = start | 0
  const word = (index: number): number => (words[index] ?? 0) >>> 0
  return {
    page,
    words,
    guestWrites(output: Uint8Array): number {
      const produced = word(OUT_PRODUCED)
      const length = Math.min(output.length, 2048 - ((produced - word(OUT_CONSUMED)) >>> 0))
      for (let index = 0; index < length; index++) {
        bytes[1024 + ((produced + index) % 2048)] = output[index] ?? 0
      }
      words[OUT_PRODUCED] = (produced + length) | 0
      return length
    },
    guestReads(): number[] {
      const consumed = word(IN_CONSUMED)
      const length = (word(IN_PRODUCED) - consumed) >>> 0
      words[IN_CONSUMED] = (consumed + length) | 0
      return Array.from({ length }, (_, index) => bytes[(consumed + index) % 1024] ?? 0)
    },
  }
}

const start = fc.constantFrom(0, 5, 2047, 2 ** 32 - 3)
const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 3000 }), { maxLength: 20 })

describe('ConsolePage', () => {
  test('gives the output byte by byte in order, however full the ring gets', () => {
    fc.assert(
      fc.property(start, chunks, (first, outputs) => {
        const guest = consolePage(first)
        const console = new ConsolePage(guest.page)
        const [sent, received]: [number[], number[]] = [[], []]
        for (const output of outputs) {
          for (let done = 0; done < output.length; ) {
            done += guest.guestWrites(output.subarray(done))
            received.push(...(console.take() ?? []))
          }
          sent.push(...output)
        }
        expect(received).toEqual(sent)
        expect(console.take()).toBeUndefined()
      }),
    )
  })

  test('puts in what has room, and the rest later', () => {
    fc.assert(
      fc.property(start, chunks, (first, inputs) => {
        const guest = consolePage(first)
        const console = new ConsolePage(guest.page)
        const [sent, received]: [number[], number[]] = [[], []]
        for (const input of inputs) {
          for (let done = 0; done < input.length; ) {
            done += console.put(input.subarray(done))
            received.push(...guest.guestReads())
          }
          sent.push(...input)
        }
        expect(received).toEqual(sent)
      }),
    )
  })

  test('goes on where an earlier backend stopped', () => {
    const guest = consolePage(100)
    guest.guestWrites(Buffer.from('before'))
    expect(Buffer.from(new ConsolePage(guest.page).take() ?? []).toString()).toBe('before')
    guest.guestWrites(Buffer.from('after'))
    expect(Buffer.from(new ConsolePage(guest.page).take() ?? []).toString()).toBe('after')
  })

  test('refuses indices that are further apart than the ring is long', () => {
    const guest = consolePage()
    const console = new ConsolePage(guest.page)
    guest.words[OUT_PRODUCED] = 2049
    expect(() => console.take()).toThrow('claims 2049 bytes in 2048')
    guest.words[IN_CONSUMED] = 5
    expect(() => console.put(Uint8Array.of(1))).toThrow('the guest claims')
  })

  test('does not believe its own indices in the page', () => {
    const guest = consolePage()
    const console = new ConsolePage(guest.page)
    guest.guestWrites(Buffer.from('ab'))
    guest.words[OUT_CONSUMED] = 77
    expect(Buffer.from(console.take() ?? []).toString()).toBe('ab')
    expect(guest.words[OUT_CONSUMED]).toBe(2)
  })
})
