// A guest's policy as a table: the closed ranges and the guest's rules cut the address space into intervals, and each has
// its verdict, or the few rules that ask for protocol and port as well. One binary search for each new flow.
import type { PolicyRule } from '../engine/messages.ts'
import { NetError } from '../errors.ts'
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from '../frame/layout.ts'
import type { NetworkSettings } from '../settings.ts'
import { type AddressInterval, addressWords, parseRange } from './address-range.ts'
import { closedIntervals } from './closed-ranges.ts'
import type { GuestPolicy, PolicyVerdict } from './guest-policy.ts'

/**
 * The policy of one guest. `rules`: the first that fits decides, and what none names is allowed. `hostAddresses`: what the
 * host calls its own, addresses and ranges as text (core/sys/route-monitor.ts). Closed ranges come before all rules: no rule
 * opens one. Throws NetError `net.bad-address` and `net.bad-settings` for a rule that makes no sense.
 */
export function compilePolicy(
  rules: readonly PolicyRule[],
  hostAddresses: readonly string[],
  settings: NetworkSettings,
): GuestPolicy {
  const closed = closedOf(hostAddresses, settings)
  return rules.length === 0 ? closed.policy : new RangePolicy(closed.intervals, rules.map(compileRule))
}

interface ClosedPlaces {
  readonly settings: NetworkSettings
  readonly intervals: readonly AddressInterval[]
  /** Of a guest without rules. */
  readonly policy: GuestPolicy
}

const closedByHost = new WeakMap<readonly string[], ClosedPlaces>()

/** Made once for all guests: they are judged by the same list of the host's addresses, and few have rules. */
function closedOf(hostAddresses: readonly string[], settings: NetworkSettings): ClosedPlaces {
  const known = closedByHost.get(hostAddresses)
  if (known?.settings === settings) return known
  const intervals = closedIntervals(hostAddresses, settings)
  const closed = { settings, intervals, policy: new RangePolicy(intervals, []) }
  closedByHost.set(hostAddresses, closed)
  return closed
}

/**
 * The same rules for what the guest may open to other guests, whose subnets are closed to sockets of the host but not to the
 * switch. Throws NetError as `compilePolicy()` does.
 */
export function compilePeerPolicy(rules: readonly PolicyRule[]): GuestPolicy {
  return new RangePolicy([], rules.map(compileRule))
}

/** Throws NetError where `rule` cannot be used: the check before a guest is made. */
export function checkRule(rule: PolicyRule): void {
  compileRule(rule)
}

interface CompiledRule {
  readonly intervals: readonly AddressInterval[]
  readonly isAllow: boolean
  readonly protocol: number
  readonly firstPort: number
  readonly lastPort: number
}

const ANY_PROTOCOL = 0
const HIGHEST_PORT = 65_535
const protocolNumbers = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, icmp: PROTOCOL_ICMP } as const

function compileRule({ action, range, protocol, ports }: PolicyRule): CompiledRule {
  if (ports !== undefined) {
    const [first, last] = ports
    if (protocol === 'icmp') throw badRule(range, 'ICMP has no ports')
    if (!isPort(first) || !isPort(last) || first > last) {
      throw badRule(range, `${first} to ${last} is no range of ports from 1 to ${HIGHEST_PORT}`)
    }
  }
  const [firstPort, lastPort] = ports ?? [0, HIGHEST_PORT]
  return {
    intervals: parseRange(range),
    isAllow: action === 'allow',
    protocol: protocol === undefined ? ANY_PROTOCOL : protocolNumbers[protocol],
    firstPort,
    lastPort,
  }
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= HIGHEST_PORT
}

function badRule(range: string, reason: string): NetError {
  return new NetError('net.bad-settings', `Cannot use the policy rule for "${range}": ${reason}`)
}

const ALLOWED = 0
const CLOSED = 1
const DENIED = 2
/** Protocol and port matter here: the interval has a list of rules. */
const LISTED = 3

class RangePolicy implements GuestPolicy {
  /** Four words for the first address of each interval, ascending; the first interval begins at address 0. */
  readonly #starts: Uint32Array
  readonly #intervals: number
  readonly #verdicts: Uint8Array
  /** Where the list of each interval begins in `#lists`; one more at the end. */
  readonly #listStarts: Uint32Array
  /** Numbers of rules. */
  readonly #lists: Uint16Array
  readonly #isAllow: Uint8Array
  readonly #protocols: Uint8Array
  readonly #firstPorts: Uint16Array
  readonly #lastPorts: Uint16Array

  constructor(closed: readonly AddressInterval[], rules: readonly CompiledRule[]) {
    const starts = sortedStarts([...closed, ...rules.flatMap((rule) => rule.intervals)])
    const { verdicts, lists } = judge(starts, closed, rules)
    this.#starts = new Uint32Array(starts.flatMap(addressWords))
    this.#intervals = starts.length
    this.#verdicts = verdicts
    let length = 0
    this.#listStarts = Uint32Array.from([0, ...lists.map((list) => (length += list.length))])
    this.#lists = new Uint16Array(lists.flat())
    this.#isAllow = Uint8Array.from(rules, (rule) => (rule.isAllow ? 1 : 0))
    this.#protocols = Uint8Array.from(rules, (rule) => rule.protocol)
    this.#firstPorts = Uint16Array.from(rules, (rule) => rule.firstPort)
    this.#lastPorts = Uint16Array.from(rules, (rule) => rule.lastPort)
  }

  verdict(
    destination0: number,
    destination1: number,
    destination2: number,
    destination3: number,
    protocol: number,
    port: number,
  ): PolicyVerdict {
    const place = this.#find(destination0 >>> 0, destination1 >>> 0, destination2 >>> 0, destination3 >>> 0)
    const verdict = this.#verdicts[place]
    if (verdict === ALLOWED) return 'allowed'
    if (verdict === CLOSED) return 'closed-range'
    if (verdict === DENIED) return 'policy'
    return this.#isAllowedByList(place, protocol === PROTOCOL_ICMPV6 ? PROTOCOL_ICMP : protocol, port)
      ? 'allowed'
      : 'policy'
  }

  /** The last interval that does not begin beyond the address. */
  #find(word0: number, word1: number, word2: number, word3: number): number {
    const starts = this.#starts
    let low = 0
    let high = this.#intervals - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      const at = middle * 4
      let difference = word0 - (starts[at] ?? 0)
      if (difference === 0) difference = word1 - (starts[at + 1] ?? 0)
      if (difference === 0) difference = word2 - (starts[at + 2] ?? 0)
      if (difference === 0) difference = word3 - (starts[at + 3] ?? 0)
      if (difference < 0) high = middle - 1
      else low = middle
    }
    return low
  }

  #isAllowedByList(place: number, protocol: number, port: number): boolean {
    const end = this.#listStarts[place + 1] ?? 0
    for (let index = this.#listStarts[place] ?? 0; index < end; index++) {
      const rule = this.#lists[index] ?? 0
      const wanted = this.#protocols[rule]
      if (wanted !== ANY_PROTOCOL && wanted !== protocol) continue
      if (port >= (this.#firstPorts[rule] ?? 0) && port <= (this.#lastPorts[rule] ?? 0)) {
        return this.#isAllow[rule] === 1
      }
    }
    return true
  }
}

/** Where the verdict may change: 0, each first address, and each address after a last one. */
function sortedStarts(intervals: readonly AddressInterval[]): bigint[] {
  const starts = new Set([0n, ...intervals.flatMap(({ first, last }) => [first, last + 1n])])
  starts.delete(1n << 128n)
  return [...starts].sort((one, other) => (one < other ? -1 : 1))
}

/** The verdict of each interval that begins at one of `starts`, and its list of rules (empty unless LISTED). */
function judge(
  starts: readonly bigint[],
  closed: readonly AddressInterval[],
  rules: readonly CompiledRule[],
): { verdicts: Uint8Array; lists: readonly (readonly number[])[] } {
  const placeOf = new Map(starts.map((start, place) => [start, place]))
  const verdicts = new Uint8Array(starts.length)
  const lists: number[][] = starts.map(() => [])
  const isDecided = new Uint8Array(starts.length)
  for (const { first, last } of closed) {
    const from = placeOf.get(first) ?? 0
    const to = placeOf.get(last + 1n) ?? starts.length
    verdicts.fill(CLOSED, from, to)
    isDecided.fill(1, from, to)
  }
  for (const [number, rule] of rules.entries()) {
    const decides = rule.protocol === ANY_PROTOCOL && rule.firstPort === 0
    for (const { first, last } of rule.intervals) {
      const to = placeOf.get(last + 1n) ?? starts.length
      for (let place = placeOf.get(first) ?? 0; place < to; place++) {
        if (isDecided[place] === 1) continue
        if (decides && verdicts[place] === ALLOWED) verdicts[place] = rule.isAllow ? ALLOWED : DENIED
        else {
          verdicts[place] = LISTED
          lists[place]?.push(number)
        }
        if (decides) isDecided[place] = 1
      }
    }
  }
  return { verdicts, lists }
}
