// Making DNS answers: our own ones (of the guests' zone, and errors), and the short form of one that does not fit.
// RFC 1035 §4.1, RFC 6891 §6.1, §7.
import { optRecords, readRecords } from './message.ts'
import {
  CHECKING_DISABLED,
  CLASS_IN,
  HEADER_BYTES,
  IS_AUTHORITATIVE,
  IS_RESPONSE,
  IS_TRUNCATED,
  LARGEST_UDP_BYTES,
  NO_ERROR,
  OPCODE_MASK,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TYPE_OPT,
} from './protocol.ts'
import type { DnsQuery } from './query.ts'

export interface DnsRecord {
  /** Its owner; undefined is the name that was asked for. */
  readonly name: string | undefined
  readonly type: number
  readonly ttlSeconds: number
  readonly data: Uint8Array
}

export interface AnswerParts {
  readonly rcode: number
  readonly isAuthoritative?: boolean
  readonly answers?: readonly DnsRecord[]
  readonly authorities?: readonly DnsRecord[]
}

/** The question's name, which begins right behind the header. */
const POINTER_TO_QUESTION = Uint8Array.of(0xc0, HEADER_BYTES)
const DNSSEC_OK = 0x8000

/** An answer of our own to `query`. It repeats the question byte for byte. */
export function writeAnswer(query: DnsQuery, parts: AnswerParts): Uint8Array {
  const { rcode, isAuthoritative = false, answers = [], authorities = [] } = parts
  const question = query.bytes.subarray(HEADER_BYTES, query.questionEnd)
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint16(0, query.id)
  view.setUint16(
    2,
    IS_RESPONSE |
      (query.flags & (OPCODE_MASK | RECURSION_DESIRED | CHECKING_DISABLED)) |
      RECURSION_AVAILABLE |
      (isAuthoritative ? IS_AUTHORITATIVE : 0) |
      (rcode & 0xf),
  )
  view.setUint16(4, question.length > 0 ? 1 : 0)
  view.setUint16(6, answers.length)
  view.setUint16(8, authorities.length)
  view.setUint16(10, query.edns === undefined ? 0 : 1)
  const opt = query.edns === undefined ? [] : [optRecord(query.edns.isDnssecOk, rcode >>> 4)]
  return Buffer.concat([header, question, ...answers.map(record), ...authorities.map(record), ...opt])
}

/** An error of ours. */
export function writeError(query: DnsQuery, rcode: number): Uint8Array {
  return writeAnswer(query, { rcode })
}

/**
 * `answer` without its records and with TC set, for a client that takes no more than `limitBytes`: it asks again over TCP.
 * The OPT record stays (RFC 6891 §7).
 */
export function truncateAnswer(query: DnsQuery, answer: Uint8Array, limitBytes: number): Uint8Array {
  const [opt] = optRecords(readRecords(answer) ?? [])
  const question = query.bytes.subarray(HEADER_BYTES, query.questionEnd)
  const room = limitBytes - HEADER_BYTES - question.length
  const kept = opt !== undefined && opt.end - opt.start <= room ? [answer.subarray(opt.start, opt.end)] : []
  const header = Buffer.from(answer.subarray(0, HEADER_BYTES))
  header.writeUInt16BE(header.readUInt16BE(2) | IS_TRUNCATED, 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt32BE(0, 6)
  header.writeUInt16BE(kept.length, 10)
  return Buffer.concat([header, question, ...kept])
}

/** A name as messages have it, uncompressed. `text` as message.ts writes it, without escapes. */
export function encodeName(text: string): Uint8Array {
  const labels = text === '' ? [] : text.split('.')
  return Buffer.concat([
    ...labels.flatMap((label) => [Uint8Array.of(label.length), Buffer.from(label, 'latin1')]),
    Uint8Array.of(0),
  ])
}

function record({ name, type, ttlSeconds, data }: DnsRecord): Uint8Array {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(type, 0)
  fixed.writeUInt16BE(CLASS_IN, 2)
  fixed.writeUInt32BE(ttlSeconds, 4)
  fixed.writeUInt16BE(data.length, 8)
  return Buffer.concat([name === undefined ? POINTER_TO_QUESTION : encodeName(name), fixed, data])
}

/** Ours: no options; the upper bits of the rcode in the upper byte of the TTL. */
function optRecord(isDnssecOk: boolean, upperRcode: number): Uint8Array {
  const opt = Buffer.alloc(11)
  opt.writeUInt16BE(TYPE_OPT, 1)
  opt.writeUInt16BE(LARGEST_UDP_BYTES, 3)
  opt.writeUInt8(upperRcode, 5)
  opt.writeUInt16BE(isDnssecOk ? DNSSEC_OK : NO_ERROR, 7)
  return opt
}
