import { describe, expect, it } from 'vitest'
import { encodeName, truncateAnswer, writeAnswer, writeError } from './answer.ts'
import { optRecords, readHeader, readQuestion, readRecords } from './message.ts'
import {
  BAD_VERSION,
  FORMAT_ERROR,
  NOT_IMPLEMENTED,
  REFUSED,
  SERVER_FAILURE,
  TYPE_A,
  TYPE_AXFR,
} from './protocol.ts'
import { type DnsQuery, readQuery, udpLimitBytes } from './query.ts'

interface Shape {
  readonly flags?: number
  readonly questions?: number
  readonly type?: number
  /** Of OPT records: sizes. */
  readonly sizes?: readonly number[]
  readonly version?: number
}

function message({
  flags = 0x0100,
  questions = 1,
  type = TYPE_A,
  sizes = [],
  version = 0,
}: Shape = {}): Buffer {
  const header = Buffer.from([0x12, 0x34, flags >> 8, flags & 255, 0, questions, 0, 0, 0, 0, 0, sizes.length])
  const question = Buffer.concat([encodeName('www.example.org'), Buffer.from([type >> 8, type & 255, 0, 1])])
  const opts = sizes.map((size) => Buffer.from([0, 0, 41, size >> 8, size & 255, 0, version, 0x80, 0, 0, 0]))
  return Buffer.concat([header, ...Array<Buffer>(questions).fill(question), ...opts])
}

function good(shape: Shape = {}): DnsQuery {
  const query = readQuery(message(shape))
  if (query === undefined || 'rcode' in query) throw new Error('It is no good query')
  return query
}

describe('readQuery()', () => {
  it('says nothing to what is no query', () => {
    expect(readQuery(Buffer.alloc(11))).toBeUndefined()
    expect(readQuery(message({ flags: 0x8100 }))).toBeUndefined()
  })

  it.each<[string, Shape, number]>([
    ['an update', { flags: 0x2800 }, NOT_IMPLEMENTED],
    ['a notification', { flags: 0x2000 }, NOT_IMPLEMENTED],
    ['no question', { questions: 0 }, FORMAT_ERROR],
    ['two questions', { questions: 2 }, FORMAT_ERROR],
    ['two OPT records', { sizes: [512, 512] }, FORMAT_ERROR],
    ['a zone transfer', { type: TYPE_AXFR }, REFUSED],
  ])('answers %s with an error', (_what, shape, rcode) => {
    expect(readQuery(message(shape))).toMatchObject({ rcode })
  })

  it('answers a message that is cut anywhere behind its header with an error, or takes it as one that is whole', () => {
    const whole = message({ sizes: [1232] })
    for (let length = 12; length < whole.length; length++) {
      expect(readQuery(whole.subarray(0, length))).toMatchObject({ rcode: FORMAT_ERROR })
    }
  })
})

describe('udpLimitBytes()', () => {
  it.each([
    [[], 512],
    [[100], 512],
    [[600], 600],
    [[1232], 1232],
    [[4096], 1232],
    [[65_535], 1232],
  ])('of OPT sizes %j is %d', (sizes, limit) => {
    expect(udpLimitBytes(good({ sizes }))).toBe(limit)
  })
})

describe('answers', () => {
  it('repeat id, question, and the flags that belong to the client', () => {
    const answer = writeError(good({ flags: 0x0110 }), SERVER_FAILURE)
    expect(readHeader(answer)).toMatchObject({ id: 0x1234, flags: 0x8192, questions: 1, additionals: 0 })
    expect(readQuestion(answer)?.name).toBe('www.example.org')
  })

  it('have an OPT record exactly for clients that sent one, with the upper bits of the error', () => {
    const records = readRecords(writeError(good({ sizes: [4096], version: 1 }), BAD_VERSION)) ?? []
    expect(optRecords(records)).toMatchObject([{ class: 1232, ttl: 0x0100_8000 }])
    expect(readRecords(writeError(good(), SERVER_FAILURE))).toEqual([])
  })

  it('lose their records when they are cut, and keep question and OPT', () => {
    const query = good({ sizes: [1232] })
    const record = { name: undefined, type: TYPE_A, ttlSeconds: 5, data: Buffer.from([192, 0, 2, 1]) }
    const answer = writeAnswer(query, { rcode: 0, answers: Array(60).fill(record) })
    expect(readRecords(answer)).toHaveLength(61)
    const cut = truncateAnswer(query, answer, 600)
    expect(cut.length).toBeLessThanOrEqual(600)
    expect(readHeader(cut)).toMatchObject({
      id: 0x1234,
      flags: 0x8380,
      questions: 1,
      answers: 0,
      additionals: 1,
    })
    expect(optRecords(readRecords(cut) ?? [])).toHaveLength(1)
  })

  it('that cannot be read are cut to their question', () => {
    const query = good()
    const broken = Buffer.concat([writeError(query, 0), Buffer.alloc(700, 0xff)])
    broken.writeUInt16BE(9, 6)
    expect(readRecords(truncateAnswer(query, broken, 512))).toEqual([])
  })
})
