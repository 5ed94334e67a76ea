// Reading DNS messages that others made: every length is checked against the message, and a name's compression may only
// point back, so that no message reads out of bounds or runs in circles. What is wrong reads as undefined; nothing throws.
// RFC 1035 §4.1.
import {
  ADDITIONAL_COUNT,
  ANSWER_COUNT,
  AUTHORITY_COUNT,
  FLAGS,
  HEADER_BYTES,
  ID,
  QUESTION_COUNT,
  TYPE_OPT,
} from './protocol.ts'

export interface DnsName {
  /** As people write it: lower case, no dot at the end; in a label `.`, `\` and all that is not printable ASCII as `\046`. */
  readonly text: string
  /** Where the message goes on behind it. */
  readonly end: number
}

export interface DnsQuestion {
  readonly name: string
  readonly type: number
  readonly class: number
  readonly end: number
}

export interface DnsHeader {
  readonly id: number
  readonly flags: number
  readonly questions: number
  readonly answers: number
  readonly authorities: number
  readonly additionals: number
}

/** One record, by its place: its name from `start`, its data from `data` to `end`. */
export interface DnsRecordPlace {
  readonly section: 'answer' | 'authority' | 'additional'
  readonly start: number
  readonly type: number
  readonly class: number
  readonly ttl: number
  readonly data: number
  readonly end: number
}

/** RFC 1035 §2.3.4: 255 bytes with the lengths of the labels and the root. */
const LONGEST_NAME_BYTES = 255
const POINTER = 0xc0
const DOT = 0x2e
const BACKSLASH = 0x5c

export function readHeader(message: Uint8Array): DnsHeader | undefined {
  if (message.length < HEADER_BYTES) return undefined
  return {
    id: word(message, ID),
    flags: word(message, FLAGS),
    questions: word(message, QUESTION_COUNT),
    answers: word(message, ANSWER_COUNT),
    authorities: word(message, AUTHORITY_COUNT),
    additionals: word(message, ADDITIONAL_COUNT),
  }
}

/** Reads the name at `offset`. Pointers must lead to before the part that they end (RFC 1035 §4.1.4: a prior occurrence). */
export function readName(message: Uint8Array, offset: number): DnsName | undefined {
  const labels: string[] = []
  let at = offset
  let start = offset
  let end: number | undefined
  let lengthBytes = 1
  for (;;) {
    const length = message[at]
    if (length === undefined) return undefined
    if (length === 0) return { text: labels.join('.'), end: end ?? at + 1 }
    if (length >= POINTER) {
      const low = message[at + 1]
      if (low === undefined) return undefined
      const target = ((length & ~POINTER) << 8) | low
      if (target < HEADER_BYTES || target >= start) return undefined
      end ??= at + 2
      at = target
      start = target
      continue
    }
    // 0x40 and 0x80 are no lengths (RFC 6891 §5 gave the first up).
    if (length > 63 || at + 1 + length > message.length) return undefined
    lengthBytes += 1 + length
    if (lengthBytes > LONGEST_NAME_BYTES) return undefined
    labels.push(labelText(message.subarray(at + 1, at + 1 + length)))
    at += 1 + length
  }
}

/** Reads the first question. Undefined where the message has none, or a broken one. */
export function readQuestion(message: Uint8Array): DnsQuestion | undefined {
  const header = readHeader(message)
  if (header === undefined || header.questions === 0) return undefined
  const name = readName(message, HEADER_BYTES)
  if (name === undefined || name.end + 4 > message.length) return undefined
  return {
    name: name.text,
    type: word(message, name.end),
    class: word(message, name.end + 2),
    end: name.end + 4,
  }
}

/** The records of all sections behind the questions. Undefined where one of them is broken or missing. */
export function readRecords(message: Uint8Array): readonly DnsRecordPlace[] | undefined {
  const header = readHeader(message)
  if (header === undefined) return undefined
  let at = HEADER_BYTES
  for (let count = header.questions; count > 0; count--) {
    const name = readName(message, at)
    if (name === undefined || name.end + 4 > message.length) return undefined
    at = name.end + 4
  }
  const records: DnsRecordPlace[] = []
  const sections = [
    ['answer', header.answers],
    ['authority', header.authorities],
    ['additional', header.additionals],
  ] as const
  for (const [section, expected] of sections) {
    for (let count = expected; count > 0; count--) {
      const record = readRecord(message, at, section)
      if (record === undefined) return undefined
      records.push(record)
      at = record.end
    }
  }
  return records
}

/** The OPT records of EDNS among the additionals (RFC 6891 §6.1.1: more than one is an error). */
export function optRecords(records: readonly DnsRecordPlace[]): readonly DnsRecordPlace[] {
  return records.filter((record) => record.section === 'additional' && record.type === TYPE_OPT)
}

function readRecord(
  message: Uint8Array,
  start: number,
  section: DnsRecordPlace['section'],
): DnsRecordPlace | undefined {
  const name = readName(message, start)
  if (name === undefined || name.end + 10 > message.length) return undefined
  const data = name.end + 10
  const end = data + word(message, name.end + 8)
  if (end > message.length) return undefined
  return {
    section,
    start,
    type: word(message, name.end),
    class: word(message, name.end + 2),
    ttl: word(message, name.end + 4) * 65_536 + word(message, name.end + 6),
    data,
    end,
  }
}

/** A 16-bit word whose place has been checked. */
function word(message: Uint8Array, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0)
}

function labelText(label: Uint8Array): string {
  let text = ''
  for (const byte of label) {
    if (byte >= 0x41 && byte <= 0x5a) text += String.fromCharCode(byte + 0x20)
    else if (byte > 0x20 && byte < 0x7f && byte !== DOT && byte !== BACKSLASH)
      text += String.fromCharCode(byte)
    else text += `\\${byte.toString().padStart(3, '0')}`
  }
  return text
}
