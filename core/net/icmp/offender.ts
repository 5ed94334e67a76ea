// Who the guest hears of when something out there could not be reached: routers and far ends by their own addresses, which
// traceroute shows; the host's loopback and its link-local neighbours, which mean nothing to a guest, as the gateway.
import type { SocketAddress } from '../../sys/socket-address.ts'

const LOOPBACK_BYTE = 127
/** The ten leading bits of fe80::/10. */
const LINK_LOCAL_BITS = 0xfe80 >>> 6

export function mayBeNamed(isIpv6: boolean, address: SocketAddress): boolean {
  if (isIpv6) return address.word0 !== 0 && address.word0 >>> 22 !== LINK_LOCAL_BITS
  return address.word3 !== 0 && address.word3 >>> 24 !== LOOPBACK_BYTE
}
