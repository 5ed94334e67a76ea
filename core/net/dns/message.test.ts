import { describe, expect, it } from 'vitest'
import { encodeName } from './answer.ts'
import { optRecords, readName, readQuestion, readRecords } from './message.ts'
import { HEADER_BYTES } from './protocol.ts'
import { readQuery } from './query.ts'

const headerOnly = Buffer.alloc(HEADER_BYTES)

function withName(...bytes: (number | Uint8Array)[]): Buffer {
  const parts = bytes.map((part) => (typeof part === 'number' ? Uint8Array.of(part) : part))
  return Buffer.concat([headerOnly, ...parts])
}

describe('readName()', () => {
  const read = (message: Uint8Array, at = HEADER_BYTES) => readName(message, at)

  it('reads labels in lower case, and the root', () => {
    expect(read(withName(encodeName('WWW.Example.org')))).toEqual({ text: 'www.example.org', end: 29 })
    expect(read(withName(0))).toEqual({ text: '', end: 13 })
  })

  it('escapes what would make two names look alike', () => {
    expect(read(withName(3, Buffer.from('a.b'), 0))?.text).toBe('a\\046b')
    expect(read(withName(3, Buffer.from('a\\b'), 0))?.text).toBe('a\\092b')
    expect(read(withName(4, Uint8Array.of(0, 0x20, 0xc4, 0x7f), 0))?.text).toBe('\\000\\032\\196\\127')
  })

  it('follows compression backward, and ends behind the first pointer', () => {
    const message = withName(encodeName('example.org'), 3, Buffer.from('www'), 0xc0, 12)
    expect(read(message, 25)).toEqual({ text: 'www.example.org', end: 31 })
  })

  it('refuses pointers to themselves, forward, into the header, and around', () => {
    expect(read(withName(0xc0, 12))).toBeUndefined()
    expect(read(withName(0xc0, 14, 0))).toBeUndefined()
    expect(read(withName(0xc0, 0))).toBeUndefined()
    expect(read(withName(1, 0x61, 0xc0, 12))).toBeUndefined()
    const twoThatPointAtEachOther = withName(0xc0, 14, 0xc0, 12)
    expect(read(twoThatPointAtEachOther, 14)).toBeUndefined()
  })

  it('refuses what ends too early, lengths that are none, and names beyond 255 bytes', () => {
    expect(read(withName())).toBeUndefined()
    expect(read(withName(5, Buffer.from('abc')))).toBeUndefined()
    expect(read(withName(3, Buffer.from('abc')))).toBeUndefined()
    expect(read(withName(0xc0))).toBeUndefined()
    expect(read(withName(0x41, Buffer.alloc(65), 0))).toBeUndefined()
    expect(read(withName(0x80, 0))).toBeUndefined()
    const label = Buffer.concat([Uint8Array.of(49), Buffer.alloc(49, 0x61)])
    expect(read(withName(...Array(5).fill(label), 3, Buffer.from('abc'), 0))?.end).toBe(12 + 255)
    expect(read(withName(...Array(5).fill(label), 4, Buffer.from('abcd'), 0))).toBeUndefined()
  })

  it('refuses names that compression makes longer than 255 bytes', () => {
    const label = Buffer.concat([Uint8Array.of(60), Buffer.alloc(60, 0x61)])
    const message = withName(label, label, label, 0, label, label, 0xc0, 12)
    expect(read(message, 12 + 3 * 61 + 1)).toBeUndefined()
  })
})

describe('readRecords()', () => {
  it('finds the records of all sections by their place', () => {
    expect(readRecords(samples[0] ?? headerOnly)).toMatchObject([
      { section: 'additional', type: 41, class: 1232, ttl: 0x8000 },
    ])
    const records = readRecords(samples[1] ?? headerOnly)
    expect(records?.map(({ section, type }) => [section, type])).toEqual([
      ['answer', 5],
      ['answer', 1],
      ['authority', 2],
      ['additional', 1],
      ['additional', 41],
    ])
    expect(records?.at(-1)?.end).toBe(samples[1]?.length)
  })
})

describe('mutated messages', () => {
  it('are read within their bounds or refused, whatever they claim', () => {
    const random = generator(0x5eed)
    let readable = 0
    for (let round = 0; round < 100_000; round++) {
      const message = mutate(samples[round % samples.length] ?? headerOnly, random)
      const question = readQuestion(message)
      if (question !== undefined) expect(question.end).toBeLessThanOrEqual(message.length)
      const records = readRecords(message)
      for (const { start, data, end } of records ?? []) {
        if (!(start < data && data <= end && end <= message.length)) throw new Error(message.toString('hex'))
      }
      if (records !== undefined) {
        readable++
        optRecords(records)
      }
      const query = readQuery(message)
      const questionEnd = query === undefined ? 0 : ('rcode' in query ? query.query : query).questionEnd
      if (questionEnd > message.length) throw new Error(message.toString('hex'))
    }
    // Both kinds were met.
    expect(readable).toBeGreaterThan(5_000)
    expect(readable).toBeLessThan(95_000)
  })
})

/** A query with EDNS, and an answer with compressed names in all sections. */
const samples = [
  Buffer.concat([
    Buffer.from('123401200001000000000001', 'hex'),
    encodeName('www.example.org'),
    Buffer.from('00010001' + '00002904d0000080000000', 'hex'),
  ]),
  Buffer.concat([
    Buffer.from('123481800001000200010002', 'hex'),
    encodeName('www.example.org'),
    Buffer.from('00010001', 'hex'),
    // www CNAME web-host.example.org, whose name ends by a pointer to "example.org" at 16 and lies at 45 itself.
    Buffer.from('c00c000500010000003c000b', 'hex'),
    Buffer.concat([Uint8Array.of(8), Buffer.from('web-host'), Buffer.from('c010', 'hex')]),
    Buffer.from('c02d000100010000003c0004c000020a', 'hex'),
    Buffer.from('c010000200010000003c0006036e7331c010', 'hex'),
    Buffer.from('c054000100010000003c0004c0000235', 'hex'),
    Buffer.from('0000290200000000000000', 'hex'),
  ]),
]

function mutate(sample: Buffer, random: () => number): Buffer {
  let message = Buffer.from(sample)
  for (let count = random() % 4; count >= 0; count--) {
    const at = message.length === 0 ? 0 : random() % message.length
    switch (random() % 6) {
      case 0:
        message = message.subarray(0, at)
        break
      case 1:
        message = Buffer.concat([message, message.subarray(at)])
        break
      case 2:
        if (at + 1 < message.length) message.writeUInt16BE(0xc000 | (random() % 256), at)
        break
      case 3:
        // A count of records.
        if (message.length >= HEADER_BYTES) message.writeUInt16BE(random() % 4, 4 + (random() % 4) * 2)
        break
      default:
        if (message.length > 0) message[at] = random() & 0xff
    }
  }
  return message
}

/** Whole numbers below 2^31, the same for each seed (Park and Miller's). */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state
  }
}
