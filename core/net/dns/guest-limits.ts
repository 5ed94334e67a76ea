// What one guest may ask of the forwarder, and what was counted of it.
import { TokenBucket } from '../flow/rate-limit.ts'
import type { NetworkLimits } from '../settings.ts'

export type DnsLimits = Pick<NetworkLimits, 'dnsPerSecond' | 'dnsOutstanding' | 'dnsTcpConnections'>

/** Since the guest came. */
export interface DnsCounters {
  /** That were within the rate. */
  readonly queries: number
  /** Answered from the guests' zone. */
  readonly local: number
  readonly forwarded: number
  /** Of these, where no server had an answer. */
  readonly failed: number
  /** Beyond the rate, and dropped. Over TCP nothing is: there it is read later. */
  readonly overRate: number
  /** Refused, since too many were on their way. */
  readonly overOutstanding: number
  /** Connections closed at once, since there were too many. */
  readonly overConnections: number
}

export class GuestLimits {
  readonly counters = {
    queries: 0,
    local: 0,
    forwarded: 0,
    failed: 0,
    overRate: 0,
    overOutstanding: 0,
    overConnections: 0,
  } satisfies DnsCounters
  readonly #limits: DnsLimits
  readonly #rate: TokenBucket
  #outstanding = 0
  #connections = 0

  constructor(limits: DnsLimits) {
    this.#limits = limits
    this.#rate = new TokenBucket(limits.dnsPerSecond)
  }

  /** Counts a query, unless it is one too many a second: then false. */
  takeQuery(nowMs: number): boolean {
    if (!this.#rate.take(nowMs)) return false
    this.counters.queries++
    return true
  }

  /** Everything that was asked and not carried. */
  get dropped(): number {
    const { overRate, overOutstanding, overConnections } = this.counters
    return overRate + overOutstanding + overConnections
  }

  /** Counts a query on its way upstream, until it is disposed of; undefined where there are too many. */
  beginForwarding(): Disposable | undefined {
    if (this.#outstanding >= this.#limits.dnsOutstanding) {
      this.counters.overOutstanding++
      return undefined
    }
    this.counters.forwarded++
    this.#outstanding++
    return { [Symbol.dispose]: () => void this.#outstanding-- }
  }

  /** Counts a connection until it is disposed of; undefined where there are too many. */
  beginConnection(): Disposable | undefined {
    if (this.#connections >= this.#limits.dnsTcpConnections) {
      this.counters.overConnections++
      return undefined
    }
    this.#connections++
    return { [Symbol.dispose]: () => void this.#connections-- }
  }
}
