// The host's DNS servers, asked one after the other: each has its time, the one that failed is not the first to be asked
// again, and an answer that only says "I cannot" is kept while the others are tried, as the C library does it.
import { NOT_IMPLEMENTED, REFUSED, SERVER_FAILURE } from './protocol.ts'
import type { DnsQuery } from './query.ts'
import {
  type ExchangeResult,
  exchangeOverTcp,
  exchangeOverUdp,
  type Transport,
  type Upstream,
} from './upstream-exchange.ts'

export interface UpstreamsOptions {
  readonly timeoutMs?: number
  readonly signal: AbortSignal
  /** Told when the state changes, not for each query. */
  readonly log: (message: string) => void
}

const TIMEOUT_MS = 2000
const unhelpful: ReadonlySet<number> = new Set([SERVER_FAILURE, NOT_IMPLEMENTED, REFUSED])

export class Upstreams {
  readonly #timeoutMs: number
  readonly #signal: AbortSignal
  readonly #log: (message: string) => void
  #servers: readonly Upstream[] = []
  /** Which one is asked first. */
  #first = 0
  #trouble = ''

  constructor({ timeoutMs = TIMEOUT_MS, signal, log }: UpstreamsOptions) {
    this.#timeoutMs = timeoutMs
    this.#signal = signal
    this.#log = log
  }

  /** From now on these are asked; queries on their way end as they began. */
  set(servers: readonly Upstream[]): void {
    this.#servers = servers
    this.#first = 0
    this.#trouble = ''
  }

  /** The answer of the first server that has one, with the query's own id; undefined where none has. Never rejects. */
  async ask(query: DnsQuery, transport: Transport): Promise<Uint8Array | undefined> {
    const servers = this.#servers
    if (servers.length === 0) {
      this.#report('Cannot resolve names for guests: the host has no DNS server')
      return undefined
    }
    const exchange = transport === 'udp' ? exchangeOverUdp : exchangeOverTcp
    const failures: string[] = []
    let secondBest: Uint8Array | undefined
    for (const upstream of inOrder(servers, this.#first)) {
      const result: ExchangeResult = await exchange({
        upstream,
        query,
        timeoutMs: this.#timeoutMs,
        signal: this.#signal,
      })
      if (this.#signal.aborted) return undefined
      if ('failure' in result) {
        failures.push(`${upstream.address}: ${result.failure}`)
        this.#moveOn(servers, upstream)
      } else if (unhelpful.has(result.rcode)) secondBest ??= result.answer
      else {
        this.#trouble = ''
        return result.answer
      }
    }
    if (secondBest === undefined) {
      this.#report(
        `Cannot resolve names for guests: no DNS server of the host answers (${failures.join('; ')})`,
      )
    }
    return secondBest
  }

  #moveOn(servers: readonly Upstream[], failed: Upstream): void {
    // Careful: the list may have changed meanwhile, and another query may have moved on already.
    if (servers === this.#servers && servers[this.#first] === failed) {
      this.#first = (this.#first + 1) % servers.length
    }
  }

  #report(trouble: string): void {
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#log(trouble)
  }
}

function inOrder(servers: readonly Upstream[], first: number): readonly Upstream[] {
  return [...servers.slice(first), ...servers.slice(0, first)]
}
