// Addresses for guests: chosen from the guest's id, so that they look the same on every host, and reserved in guest.json, so
// that they stay the guest's. docs/networking.md.
import { createHash } from 'node:crypto'
import { formatAddress, formatIpv4, parseAddress } from '../../net/address.ts'
import { NetError } from '../../net/errors.ts'
import { addressNumber, addressWords } from '../../net/policy/address-range.ts'
import type { NetworkSettings } from '../../net/settings.ts'
import { rangeOf } from '../../net/settings-schema.ts'

export interface GuestAddresses {
  readonly mac: string
  readonly ipv4: string
  readonly ipv6: string
}

/** Xen's own OUI. */
const OUI = '00:16:3e'
const MAC_NUMBERS = 1 << 24
/** The lowest /24 of a large subnet is the gateway's, and ours for what is to come. */
const LARGE_SUBNET = 1024
const FIRST_OF_LARGE = 256
const FIRST_OF_SMALL = 2

export class AddressBook {
  readonly #first: number
  readonly #count: number
  readonly #network: number
  readonly #gateway: string
  readonly #ipv6Network: bigint
  readonly #byGuest = new Map<string, GuestAddresses>()
  readonly #taken = new Set<string>()

  constructor(settings: NetworkSettings) {
    const ipv4 = rangeOf(settings.ipv4Subnet)
    const size = Number(ipv4.last - ipv4.first) + 1
    this.#network = Number(ipv4.first & 0xffff_ffffn)
    this.#first = size > LARGE_SUBNET ? FIRST_OF_LARGE : FIRST_OF_SMALL
    // Not the broadcast address.
    this.#count = size - 1 - this.#first
    this.#gateway = settings.gatewayIpv4
    this.#ipv6Network = rangeOf(settings.ipv6Subnet).first
  }

  /** What a guest has is nobody else's. */
  take(id: string, addresses: GuestAddresses): void {
    this.#byGuest.set(id, addresses)
    for (const text of [addresses.mac, addresses.ipv4, addresses.ipv6]) this.#taken.add(text)
  }

  release(id: string): void {
    const addresses = this.#byGuest.get(id)
    this.#byGuest.delete(id)
    if (addresses !== undefined)
      for (const text of [addresses.mac, addresses.ipv4, addresses.ipv6]) this.#taken.delete(text)
  }

  /** Addresses for a new guest, taken. Throws NetError `net.no-address`. */
  reserve(id: string): GuestAddresses {
    const hash = createHash('sha256').update(id).digest()
    const number = this.#probe(hash.readUInt32BE(0) % this.#count, this.#count, (offset) =>
      this.#isFree(this.#ipv4(offset)),
    )
    const macNumber = this.#probe(
      hash.readUIntBE(4, 3),
      MAC_NUMBERS,
      (offset) => !this.#taken.has(macOf(offset)),
    )
    if (number === undefined || macNumber === undefined)
      throw new NetError('net.no-address', `Cannot give a guest an address: all ${this.#count} are taken`, {
        hint: 'Remove guests that are not wanted any more, or give guests a larger subnet.',
      })
    const ipv4 = this.#ipv4(number)
    const addresses = { mac: macOf(macNumber), ipv4, ipv6: this.#ipv6(ipv4) }
    this.take(id, addresses)
    return addresses
  }

  /** Whether the addresses are of the subnets that are set now. */
  fits({ ipv4, ipv6 }: GuestAddresses): boolean {
    const offset = (parseAddress(ipv4)[3] >>> 0) - this.#network
    return offset >= this.#first && offset < this.#first + this.#count && ipv6 === this.#ipv6(ipv4)
  }

  #probe(start: number, count: number, isFree: (offset: number) => boolean): number | undefined {
    for (let step = 0; step < count; step++) {
      const offset = (start + step) % count
      if (isFree(offset)) return offset
    }
    return undefined
  }

  #isFree(ipv4: string): boolean {
    return ipv4 !== this.#gateway && !this.#taken.has(ipv4)
  }

  #ipv4(offset: number): string {
    return formatIpv4((this.#network + this.#first + offset) | 0)
  }

  /** The number of the IPv4 address at the end of the first /64: who knows the one can read the other. */
  #ipv6(ipv4: string): string {
    const number = addressNumber(parseAddress(ipv4)) & 0xffff_ffffn
    return formatAddress(addressWords(this.#ipv6Network + number))
  }
}

function macOf(number: number): string {
  const digits = number.toString(16).padStart(6, '0')
  return `${OUI}:${digits.slice(0, 2)}:${digits.slice(2, 4)}:${digits.slice(4)}`
}
