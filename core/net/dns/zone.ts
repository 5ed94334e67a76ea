// The guests' own zone: NAME.guest and host.guest forward, and the addresses of the guests' subnets backward. What it owns is
// answered here and never asked upstream, be it known or not: a guest's name is nobody's business outside.
//
// A name of one label alone is ours too where a guest is called so, since not every program applies search domains; any
// other goes upstream as it is. A guest that may not meet others finds itself and the host only, and is found by nobody.
import { parseAddress } from '../address.ts'
import { type AddressInterval, addressNumber, parseRange } from '../policy/address-range.ts'
import type { NetworkSettings } from '../settings.ts'
import { type AnswerParts, type DnsRecord, encodeName } from './answer.ts'
import {
  CLASS_ANY,
  CLASS_IN,
  NAME_ERROR,
  NO_ERROR,
  REFUSED,
  TYPE_A,
  TYPE_AAAA,
  TYPE_ANY,
  TYPE_NS,
  TYPE_PTR,
  TYPE_SOA,
} from './protocol.ts'
import { reverseName, reverseRange } from './reverse-name.ts'

export interface DnsGuest {
  readonly id: string
  readonly name: string
  readonly ipv4: string
  readonly ipv6: string
  /** False hides it from the other guests, and them from it. */
  readonly mayMeetGuests: boolean
}

export interface ZoneQuestion {
  /** As message.ts reads it. */
  readonly name: string
  readonly type: number
  readonly class: number
}

type ZoneSettings = Pick<
  NetworkSettings,
  'zone' | 'ipv4Subnet' | 'ipv6Subnet' | 'gatewayIpv4' | 'gatewayIpv6'
>

/** What one name has: its records' data by type, and whose it is (undefined: the host's, for all). */
interface NameEntry {
  readonly owner: DnsGuest | undefined
  readonly data: ReadonlyMap<number, Uint8Array>
}

/** Guests come and go: an answer is good for a moment only. */
const TTL_SECONDS = 5
/** A guest of this name has no name in the zone: it is the gateway's. */
const HOST_LABEL = 'host'
/** Labels as in RFC 1035 §2.3.1, with the underscore that guests may have in their names. */
const DNS_NAME = /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/

export class GuestZone {
  readonly #settings: ZoneSettings
  readonly #subnets: readonly AddressInterval[]
  readonly #guests = new Map<string, DnsGuest>()
  /** Of the host's name too; made again when it is asked for after a change. */
  #entries: Map<string, NameEntry> | undefined
  /** Names that have nothing but names below them. */
  readonly #parents = new Set<string>()
  #serial = 1

  constructor(settings: ZoneSettings) {
    this.#settings = { ...settings, zone: settings.zone.toLowerCase() }
    this.#subnets = [settings.ipv4Subnet, settings.ipv6Subnet].flatMap((range) => parseRange(range))
  }

  /** Adds a guest, or changes what is known of it. */
  setGuest(guest: DnsGuest): void {
    this.#guests.set(guest.id, guest)
    this.#changed()
  }

  removeGuest(id: string): void {
    if (this.#guests.delete(id)) this.#changed()
  }

  /**
   * The answer to a question of the guest `askerId`; undefined where the name is not of this zone and goes upstream. NODATA
   * and NXDOMAIN come with an SOA that says how long they hold (RFC 2308 §3, §5).
   */
  answer(question: ZoneQuestion, askerId: string): AnswerParts | undefined {
    const name = question.name.toLowerCase()
    const apex = this.#apexOf(name)
    if (apex === undefined) return this.#answerBareName(question, name, askerId)
    if (question.class !== CLASS_IN && question.class !== CLASS_ANY) return { rcode: REFUSED }
    const soa = this.#soa(apex, name === apex)
    if (name === apex) {
      const answers = [soa, this.#nameServer()].filter((record) => isWanted(question.type, record.type))
      return positive(answers, [soa])
    }
    const entry = this.#visible(name, askerId)
    if (entry !== undefined) return positive(recordsOf(entry, question.type), [soa])
    const rcode = this.#parents.has(name) ? NO_ERROR : NAME_ERROR
    return { rcode, isAuthoritative: true, authorities: [soa] }
  }

  #answerBareName(question: ZoneQuestion, name: string, askerId: string): AnswerParts | undefined {
    if (name.includes('.') || question.class !== CLASS_IN) return undefined
    const entry = this.#visible(`${name}.${this.#settings.zone}`, askerId)
    // Without an SOA: the zone's own is not one for a name outside of the zone.
    return entry && positive(recordsOf(entry, question.type), [])
  }

  /** The zone that `name` is in: the guests', or the part of the reverse tree that is all within our subnets. */
  #apexOf(name: string): string | undefined {
    const { zone } = this.#settings
    if (name === zone || name.endsWith(`.${zone}`)) return zone
    const reverse = reverseRange(name)
    if (reverse === undefined) return undefined
    const subnet = this.#subnets.find(
      ({ first, last }) => reverse.interval.first >= first && reverse.interval.last <= last,
    )
    return subnet && reverse.apexFor(subnet)
  }

  #visible(name: string, askerId: string): NameEntry | undefined {
    const entry = this.#current().get(name)
    if (entry?.owner === undefined || entry.owner.id === askerId) return entry
    const asker = this.#guests.get(askerId)
    return entry.owner.mayMeetGuests && asker?.mayMeetGuests === true ? entry : undefined
  }

  #changed(): void {
    this.#entries = undefined
    this.#serial = (this.#serial + 1) >>> 0
  }

  #current(): ReadonlyMap<string, NameEntry> {
    if (this.#entries !== undefined) return this.#entries
    const entries = new Map<string, NameEntry>()
    this.#entries = entries
    this.#parents.clear()
    const { gatewayIpv4, gatewayIpv6 } = this.#settings
    this.#add(entries, undefined, { name: HOST_LABEL, ipv4: gatewayIpv4, ipv6: gatewayIpv6 })
    for (const guest of this.#guests.values()) {
      if (guest.name !== HOST_LABEL && DNS_NAME.test(guest.name)) this.#add(entries, guest, guest)
    }
    for (const name of entries.keys()) this.#addParents(name)
    return entries
  }

  #add(
    entries: Map<string, NameEntry>,
    owner: DnsGuest | undefined,
    { name, ipv4, ipv6 }: Pick<DnsGuest, 'name' | 'ipv4' | 'ipv6'>,
  ): void {
    const fullName = `${name}.${this.#settings.zone}`
    const data = new Map([
      [TYPE_A, addressBytes(ipv4)],
      [TYPE_AAAA, addressBytes(ipv6)],
    ])
    entries.set(fullName, { owner, data })
    const pointer = new Map([[TYPE_PTR, encodeName(fullName)]])
    for (const address of [ipv4, ipv6]) entries.set(reverseName(address), { owner, data: pointer })
  }

  #addParents(name: string): void {
    for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
      const parent = name.slice(dot + 1)
      if (this.#parents.has(parent)) return
      this.#parents.add(parent)
    }
  }

  #soa(apex: string, isAsked: boolean): DnsRecord {
    const numbers = Buffer.alloc(20)
    // Serial, refresh, retry, expire, minimum (RFC 1035 §3.3.13): nobody copies this zone; the last is for absent names.
    for (const [index, value] of [this.#serial, 3600, 600, 86_400, TTL_SECONDS].entries()) {
      numbers.writeUInt32BE(value, index * 4)
    }
    const { zone } = this.#settings
    const data = Buffer.concat([
      encodeName(`${HOST_LABEL}.${zone}`),
      encodeName(`hostmaster.${zone}`),
      numbers,
    ])
    return { name: isAsked ? undefined : apex, type: TYPE_SOA, ttlSeconds: TTL_SECONDS, data }
  }

  #nameServer(): DnsRecord {
    const data = encodeName(`${HOST_LABEL}.${this.#settings.zone}`)
    return { name: undefined, type: TYPE_NS, ttlSeconds: TTL_SECONDS, data }
  }
}

function positive(answers: readonly DnsRecord[], ifNone: readonly DnsRecord[]): AnswerParts {
  return { rcode: NO_ERROR, isAuthoritative: true, answers, authorities: answers.length === 0 ? ifNone : [] }
}

function recordsOf({ data }: NameEntry, wanted: number): DnsRecord[] {
  return [...data]
    .filter(([type]) => isWanted(wanted, type))
    .map(([type, bytes]) => ({ name: undefined, type, ttlSeconds: TTL_SECONDS, data: bytes }))
}

function isWanted(asked: number, type: number): boolean {
  return asked === type || asked === TYPE_ANY
}

/** The bytes of an address in network order: four of IPv4, sixteen of IPv6. */
function addressBytes(address: string): Uint8Array {
  const isIpv4 = !address.includes(':')
  const hex = addressNumber(parseAddress(address)).toString(16).padStart(32, '0')
  return Buffer.from(isIpv4 ? hex.slice(24) : hex, 'hex')
}
