// Who the client of a published port is to the guest: itself, or the gateway where the guest could not answer it: a host's
// loopback means the guest itself there, and kernels drop packets that come from it (RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
import type { SocketAddress } from '../../sys/socket-address.ts'
import { MAPPED_PREFIX } from '../address.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'

const LOOPBACK_BYTE = 127
const LINK_LOCAL_BITS = 0xfe80 >>> 6

/** Puts the address that the guest sees in place of the client's. The port stays. */
export function makeVisible(client: SocketAddress, gateway: GatewayIdentity): void {
  if (client.word0 === 0 && client.word1 === 0) {
    if (client.word2 === MAPPED_PREFIX) {
      if (client.word3 >>> 24 === LOOPBACK_BYTE) client.word3 = gateway.ipv4
      return
    }
    if (client.word2 !== 0) return
  } else if (client.word0 >>> 22 !== LINK_LOCAL_BITS) return
  // ::1, and link-local clients: the guest's own link is another one.
  client.word0 = gateway.ipv6[0]
  client.word1 = gateway.ipv6[1]
  client.word2 = gateway.ipv6[2]
  client.word3 = gateway.ipv6[3]
}
