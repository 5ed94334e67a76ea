// The guests' DNS server, at the gateway's port 53. It lives in the engine's control thread: queries come in from the packet
// thread as bytes (UDP) or as streams (TCP). Names of guests are answered here; everything else is passed on to the host's
// servers, unchanged but for its id, and back. Nothing is cached. RFC 1035, RFC 5452, RFC 6891, RFC 7766.
import { setMaxListeners } from 'node:events'
import type { Duplex } from 'node:stream'
import type { NetworkSettings } from '../settings.ts'
import { truncateAnswer, writeAnswer, writeError } from './answer.ts'
import { serveDnsStream } from './dns-stream.ts'
import { type DnsCounters, GuestLimits } from './guest-limits.ts'
import { BAD_VERSION, REFUSED, SERVER_FAILURE } from './protocol.ts'
import { type DnsQuery, readQuery, udpLimitBytes } from './query.ts'
import { type ResolverSettings, resolvConfPath } from './resolv-conf.ts'
import { ResolvConfWatch } from './resolv-conf-watch.ts'
import type { Transport, Upstream } from './upstream-exchange.ts'
import { Upstreams } from './upstreams.ts'
import { type DnsGuest, GuestZone } from './zone.ts'

export interface DnsForwarderOptions {
  readonly settings: NetworkSettings
  /** Told about trouble with the host's servers, when it begins and not for each query. */
  readonly log: (message: string) => void
  /** Where the host's settings are. */
  readonly resolvConf?: string
  /** Of the host's servers; every port but 53 is a test's. */
  readonly upstreamPort?: number
  /** How long one server has for its answer. */
  readonly upstreamTimeoutMs?: number
  /** After which a connection on which nothing happens is closed. */
  readonly idleMs?: number
  /** Milliseconds that never go back. */
  readonly clock?: () => number
}

const DNS_PORT = 53
/** RFC 7766 §6.2.3: in the order of seconds. */
const IDLE_MS = 10_000

export class DnsForwarder implements Disposable {
  readonly #settings: NetworkSettings
  readonly #zone: GuestZone
  readonly #guests = new Map<string, GuestLimits>()
  readonly #streams = new Map<string, Set<Duplex>>()
  readonly #ending = new AbortController()
  readonly #upstreams: Upstreams
  readonly #resolvConf: ResolvConfWatch
  readonly #port: number
  readonly #log: (message: string) => void
  readonly #idleMs: number
  readonly #clock: () => number

  constructor(options: DnsForwarderOptions) {
    const { settings, log, resolvConf = resolvConfPath, upstreamTimeoutMs } = options
    this.#settings = settings
    this.#log = log
    this.#zone = new GuestZone(settings)
    this.#port = options.upstreamPort ?? DNS_PORT
    this.#idleMs = options.idleMs ?? IDLE_MS
    this.#clock = options.clock ?? (() => performance.now())
    // Every query on its way listens for the end.
    setMaxListeners(0, this.#ending.signal)
    this.#upstreams = new Upstreams({
      signal: this.#ending.signal,
      log,
      ...(upstreamTimeoutMs !== undefined && { timeoutMs: upstreamTimeoutMs }),
    })
    this.#resolvConf = new ResolvConfWatch({
      path: resolvConf,
      onChange: (changed) => this.#useResolver(changed),
      onError: (error) => log(`Cannot read ${resolvConf}: ${error instanceof Error ? error.message : error}`),
    })
    this.#useResolver(this.#resolvConf.settings)
  }

  /** A guest came, or its name or what it may meet has changed. Only guests that are known are answered. */
  setGuest(guest: DnsGuest): void {
    this.#zone.setGuest(guest)
    if (!this.#guests.has(guest.id)) this.#guests.set(guest.id, new GuestLimits(this.#settings.limits))
  }

  /** A guest is gone: its connections are closed and its name is nobody's. */
  removeGuest(id: string): void {
    this.#zone.removeGuest(id)
    this.#guests.delete(id)
    for (const socket of this.#streams.get(id) ?? []) socket.destroy()
    this.#streams.delete(id)
  }

  /** What was counted of a guest; undefined where it is not known. */
  counters(id: string): DnsCounters | undefined {
    return this.#guests.get(id)?.counters
  }

  /** How much of what a guest asked was not carried: beyond its rate, or too much at a time. */
  dropped(id: string): number {
    return this.#guests.get(id)?.dropped ?? 0
  }

  /**
   * A datagram of guest `id` to the gateway's port 53. `reply` is called once with the answer's bytes, perhaps at once, or
   * never: what is no query, and what is beyond the guest's rate, is dropped.
   */
  query(id: string, bytes: Uint8Array, reply: (answer: Uint8Array) => void): void {
    const limits = this.#guests.get(id)
    if (limits === undefined) return
    if (!limits.takeQuery(this.#clock())) {
      limits.counters.overRate++
      return
    }
    void this.#answer(limits, id, bytes, 'udp').then((answer) => {
      if (answer !== undefined && this.#guests.has(id)) reply(answer)
    })
  }

  /**
   * A connection of guest `id` to the gateway's port 53, which belongs to the forwarder from now on. Make sockets with
   * `allowHalfOpen`, so that a client that ends its side first gets its answers.
   */
  serveStream(id: string, socket: Duplex): void {
    const limits = this.#guests.get(id)
    const connection = limits?.beginConnection()
    if (limits === undefined || connection === undefined) {
      socket.destroy()
      return
    }
    const streams = this.#streams.get(id) ?? new Set()
    this.#streams.set(id, streams.add(socket))
    serveDnsStream({
      socket,
      idleMs: this.#idleMs,
      mayAsk: () => limits.takeQuery(this.#clock()),
      onMessage: (message) => this.#answer(limits, id, message, 'tcp'),
      onClosed: () => {
        connection[Symbol.dispose]()
        streams.delete(socket)
      },
    })
  }

  [Symbol.dispose](): void {
    this.#ending.abort()
    this.#resolvConf[Symbol.dispose]()
    for (const id of [...this.#guests.keys()]) this.removeGuest(id)
  }

  /** Never rejects: a defect of ours costs one answer, not the engine. */
  async #answer(
    limits: GuestLimits,
    id: string,
    bytes: Uint8Array,
    transport: Transport,
  ): Promise<Uint8Array | undefined> {
    try {
      return await this.#answerOrThrow(limits, id, bytes, transport)
    } catch (error) {
      this.#log(`Cannot answer a DNS query: ${error instanceof Error ? error.stack : error}`)
      return undefined
    }
  }

  async #answerOrThrow(
    limits: GuestLimits,
    id: string,
    bytes: Uint8Array,
    transport: Transport,
  ): Promise<Uint8Array | undefined> {
    const query = readQuery(bytes)
    if (query === undefined) return undefined
    if ('rcode' in query) return writeError(query.query, query.rcode)
    const local = this.#zone.answer(query, id)
    if (local !== undefined) {
      limits.counters.local++
      // RFC 6891 §6.1.3: we speak version 0.
      return query.edns !== undefined && query.edns.version > 0
        ? writeError(query, BAD_VERSION)
        : writeAnswer(query, local)
    }
    return this.#forward(limits, query, transport)
  }

  async #forward(limits: GuestLimits, query: DnsQuery, transport: Transport): Promise<Uint8Array> {
    using forwarding = limits.beginForwarding()
    if (forwarding === undefined) return writeError(query, REFUSED)
    this.#resolvConf.refresh(this.#clock())
    const answer = await this.#upstreams.ask(query, transport)
    if (answer === undefined) {
      limits.counters.failed++
      return writeError(query, SERVER_FAILURE)
    }
    const limitBytes = udpLimitBytes(query)
    return transport === 'udp' && answer.length > limitBytes
      ? truncateAnswer(query, answer, limitBytes)
      : answer
  }

  #useResolver({ servers }: ResolverSettings): void {
    this.#upstreams.set(servers.map((address): Upstream => ({ address, port: this.#port })))
  }
}
