// One query to one upstream server. Over UDP from a fresh socket, so that the kernel chooses a fresh port, with a fresh id:
// who wants to slip a false answer in must guess both (RFC 5452 §4.5, §9.2). An answer counts when it comes from the server's
// address and port, has the id and repeats the question (§9.1); others are passed over and the waiting goes on.
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { createConnection, isIPv6 } from 'node:net'
import { readHeader, readQuestion } from './message.ts'
import {
  FORMAT_ERROR,
  IS_RESPONSE,
  NOT_IMPLEMENTED,
  OPCODE_MASK,
  RCODE_MASK,
  REFUSED,
  SERVER_FAILURE,
} from './protocol.ts'
import type { DnsQuery } from './query.ts'
import { frameMessage, MessageReader } from './stream-framing.ts'

export interface Upstream {
  readonly address: string
  readonly port: number
}

export type Transport = 'udp' | 'tcp'

/** An answer with the client's id in place, or why there is none. */
export type ExchangeResult =
  | { readonly answer: Uint8Array; readonly rcode: number }
  | { readonly failure: string }

export interface ExchangeOptions {
  readonly upstream: Upstream
  readonly query: DnsQuery
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Asks over UDP. Never rejects. */
export function exchangeOverUdp({
  upstream,
  query,
  timeoutMs,
  signal,
}: ExchangeOptions): Promise<ExchangeResult> {
  const id = randomInt(0x10000)
  const { promise, resolve } = Promise.withResolvers<ExchangeResult>()
  const socket = createSocket({ type: isIPv6(upstream.address) ? 'udp6' : 'udp4' })
  const finish = endOnce(timeoutMs, signal, (result) => {
    socket.close()
    resolve(result)
  })
  socket.on('error', (error) => finish({ failure: error.message }))
  socket.on('message', (message) => {
    // The socket is connected: the kernel lets datagrams of this server alone pass (udp(7), connect(2)).
    const rcode = rcodeOfAnswer(message, id, query)
    if (rcode !== undefined) finish({ answer: withId(message, query.id), rcode })
  })
  socket.on('connect', () => {
    socket.send(withId(query.bytes, id), (error) => {
      if (error) finish({ failure: error.message })
    })
  })
  // Careful: with a callback its errors would come there and nowhere else.
  socket.connect(upstream.port, upstream.address)
  return promise
}

/** Asks over TCP, on a connection of its own. Never rejects. */
export function exchangeOverTcp({
  upstream,
  query,
  timeoutMs,
  signal,
}: ExchangeOptions): Promise<ExchangeResult> {
  const id = randomInt(0x10000)
  const { promise, resolve } = Promise.withResolvers<ExchangeResult>()
  const socket = createConnection({ host: upstream.address, port: upstream.port, noDelay: true })
  const finish = endOnce(timeoutMs, signal, (result) => {
    socket.destroy()
    resolve(result)
  })
  const reader = new MessageReader()
  socket.on('connect', () => socket.write(frameMessage(withId(query.bytes, id))))
  socket.on('data', (chunk) => {
    for (const message of reader.take(chunk)) {
      const rcode = rcodeOfAnswer(message, id, query)
      if (rcode !== undefined) finish({ answer: withId(message, query.id), rcode })
    }
  })
  socket.on('error', (error) => finish({ failure: error.message }))
  socket.on('close', () => finish({ failure: 'it closed the connection without an answer' }))
  return promise
}

/** Calls `end` with the first result, or with a failure when the time is over or the forwarder ends. */
function endOnce(
  timeoutMs: number,
  signal: AbortSignal,
  end: (result: ExchangeResult) => void,
): (result: ExchangeResult) => void {
  let isOver = false
  const finish = (result: ExchangeResult) => {
    if (isOver) return
    isOver = true
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
    end(result)
  }
  const onAbort = () => finish({ failure: 'the forwarder ends' })
  const timer = setTimeout(() => finish({ failure: `no answer within ${timeoutMs} ms` }), timeoutMs)
  signal.addEventListener('abort', onAbort)
  return finish
}

/** The rcode of a message that answers `query` as it was sent with `id`; undefined where it does not. */
function rcodeOfAnswer(message: Uint8Array, id: number, query: DnsQuery): number | undefined {
  const header = readHeader(message)
  if (header === undefined || header.id !== id) return undefined
  if ((header.flags & IS_RESPONSE) === 0 || (header.flags & OPCODE_MASK) !== 0) return undefined
  const rcode = header.flags & RCODE_MASK
  if (header.questions === 0) return errorsWithoutQuestion.has(rcode) ? rcode : undefined
  const question = header.questions === 1 ? readQuestion(message) : undefined
  const isSame =
    question?.name === query.name && question.type === query.type && question.class === query.class
  return isSame ? rcode : undefined
}

/** What a server that cannot read the question answers with its header alone. */
const errorsWithoutQuestion: ReadonlySet<number> = new Set([
  FORMAT_ERROR,
  SERVER_FAILURE,
  NOT_IMPLEMENTED,
  REFUSED,
])

function withId(message: Uint8Array, id: number): Uint8Array {
  const copy = Uint8Array.from(message)
  copy[0] = id >>> 8
  copy[1] = id & 0xff
  return copy
}
