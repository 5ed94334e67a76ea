// Who the gateway is: one for all guests, with the same addresses and the same MAC on every guest's wire.
import { type AddressWords, MAPPED_PREFIX, parseAddress } from '../address.ts'
import { NetError } from '../errors.ts'
import type { NetworkSettings } from '../settings.ts'

export interface GatewayIdentity {
  readonly mac: Uint8Array
  /** The word of its IPv4 address. */
  readonly ipv4: number
  readonly ipv6: AddressWords
  /** fe80::1: the router of router advertisements, which must be link-local (RFC 4861 §4.2). */
  readonly linkLocal: AddressWords
  /** The guests' IPv4 network and the number of its leading bits. */
  readonly ipv4Network: number
  readonly ipv4PrefixBits: number
  /** The first two words of the guests' /64. */
  readonly prefix0: number
  readonly prefix1: number
  readonly mtu: number
}

/** Reads it out of the settings. Throws NetError `net.bad-settings` and `net.bad-address`. */
export function gatewayIdentity(settings: NetworkSettings): GatewayIdentity {
  const [network = '', bits = ''] = settings.ipv4Subnet.split('/')
  const ipv4PrefixBits = Number(bits)
  const ipv4 = parseAddress(settings.gatewayIpv4)
  const ipv6 = parseAddress(settings.gatewayIpv6)
  if (!Number.isInteger(ipv4PrefixBits) || ipv4PrefixBits < 8 || ipv4PrefixBits > 30)
    throw new NetError('net.bad-settings', `Cannot use the subnet "${settings.ipv4Subnet}": it is no range`)
  return {
    mac: parseMac(settings.gatewayMac),
    ipv4: ipv4[3],
    ipv6,
    linkLocal: parseAddress('fe80::1'),
    ipv4Network: parseAddress(network)[3] & subnetMask(ipv4PrefixBits),
    ipv4PrefixBits,
    prefix0: ipv6[0],
    prefix1: ipv6[1],
    mtu: settings.mtu,
  }
}

/** The mask of so many leading bits, as a word. */
export function subnetMask(prefixBits: number): number {
  return prefixBits === 0 ? 0 : (-1 << (32 - prefixBits)) | 0
}

/** Six bytes of `02:42:4b:00:00:01`. Throws NetError `net.bad-address`. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text))
    throw new NetError('net.bad-address', `Cannot read "${text}": it is no MAC address`)
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16))
}

/** Whether an address is one of the gateway's own. */
export function isGatewayAddress(
  gateway: GatewayIdentity,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
): boolean {
  if (word0 === 0 && word1 === 0 && word2 === MAPPED_PREFIX) return word3 === gateway.ipv4
  return (
    isSame(gateway.ipv6, word0, word1, word2, word3) || isSame(gateway.linkLocal, word0, word1, word2, word3)
  )
}

export function isSame(
  address: AddressWords,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
): boolean {
  return address[3] === word3 && address[2] === word2 && address[1] === word1 && address[0] === word0
}
