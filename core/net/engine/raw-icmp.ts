// Raw sockets for the guests' pings: opening them takes a right that the engine does not have, so the core host does and
// passes them on. Without them the engine tries ping sockets, which most hosts have switched off (icmp(7)).
import { AF_INET, AF_INET6, closeDescriptor, openSocket, SOCK_RAW } from '../../sys/socket.ts'
import { errnoName } from '../../sys/system-error.ts'

const IPPROTO_ICMP = 1
const IPPROTO_ICMPV6 = 58

export interface RawIcmp extends Disposable {
  readonly ipv4: number | undefined
  readonly ipv6: number | undefined
}

/** Opens one for each family that the host has, and lets us; closed when disposed of. */
export function openRawIcmp(log: (message: string) => void): RawIcmp {
  const ipv4 = open('IPv4', AF_INET, IPPROTO_ICMP, log)
  const ipv6 = open('IPv6', AF_INET6, IPPROTO_ICMPV6, log)
  return {
    ipv4,
    ipv6,
    [Symbol.dispose]: () => {
      for (const fd of [ipv4, ipv6]) if (fd !== undefined) closeDescriptor(fd)
    },
  }
}

function open(
  name: string,
  family: number,
  protocol: number,
  log: (message: string) => void,
): number | undefined {
  const fd = openSocket(family, SOCK_RAW, protocol)
  if (fd >= 0) return fd
  log(`Guests may not be able to ping over ${name}: no raw socket, ${errnoName(-fd)}`)
  return undefined
}
