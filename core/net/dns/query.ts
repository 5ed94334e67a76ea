// A guest's question: what the forwarder needs of it, and whether it is one that we deal with at all.
import { optRecords, readHeader, readQuestion, readRecords } from './message.ts'
import {
  FORMAT_ERROR,
  HEADER_BYTES,
  IS_RESPONSE,
  LARGEST_UDP_BYTES,
  NOT_IMPLEMENTED,
  OPCODE_MASK,
  PLAIN_UDP_BYTES,
  REFUSED,
  TYPE_AXFR,
  TYPE_IXFR,
} from './protocol.ts'

export interface Edns {
  /** What the client takes over UDP. */
  readonly sizeBytes: number
  readonly version: number
  readonly isDnssecOk: boolean
}

/** What of a query goes into every answer to it. */
export interface DnsQuery {
  /** The message as it came. */
  readonly bytes: Uint8Array
  readonly id: number
  readonly flags: number
  /** Lower case, without a dot at the end (message.ts). */
  readonly name: string
  readonly type: number
  readonly class: number
  /** The question is `bytes` from 12 to here; 12 where it could not be read. */
  readonly questionEnd: number
  readonly edns: Edns | undefined
}

/** A message that is not passed on: the query as far as it could be read, and the error to answer. */
export interface RefusedQuery {
  readonly query: DnsQuery
  readonly rcode: number
}

const DNSSEC_OK = 0x8000

/**
 * Reads a client's message. Undefined where nothing may be answered: no header, or an answer itself (answering answers
 * makes loops). Zone transfers are refused, since a secondary's address is often all that a server asks for, and it would
 * be the host's; so is everything that is no plain query, updates above all.
 */
export function readQuery(bytes: Uint8Array): DnsQuery | RefusedQuery | undefined {
  const header = readHeader(bytes)
  if (header === undefined || (header.flags & IS_RESPONSE) !== 0) return undefined
  const bare: DnsQuery = {
    bytes,
    id: header.id,
    flags: header.flags,
    name: '',
    type: 0,
    class: 0,
    questionEnd: HEADER_BYTES,
    edns: undefined,
  }
  if ((header.flags & OPCODE_MASK) !== 0) return { query: bare, rcode: NOT_IMPLEMENTED }
  const question = header.questions === 1 ? readQuestion(bytes) : undefined
  const records = readRecords(bytes)
  if (question === undefined || records === undefined) return { query: bare, rcode: FORMAT_ERROR }
  const [opt, ...others] = optRecords(records)
  const query: DnsQuery = {
    ...bare,
    name: question.name,
    type: question.type,
    class: question.class,
    questionEnd: question.end,
    edns: opt && {
      sizeBytes: opt.class,
      version: Math.trunc(opt.ttl / 65_536) & 0xff,
      isDnssecOk: (opt.ttl & DNSSEC_OK) !== 0,
    },
  }
  if (others.length > 0) return { query, rcode: FORMAT_ERROR }
  if (query.type === TYPE_AXFR || query.type === TYPE_IXFR) return { query, rcode: REFUSED }
  return query
}

/** The largest answer that this client takes over UDP. */
export function udpLimitBytes({ edns }: DnsQuery): number {
  if (edns === undefined) return PLAIN_UDP_BYTES
  return Math.min(LARGEST_UDP_BYTES, Math.max(PLAIN_UDP_BYTES, edns.sizeBytes))
}
