// The host's socket of one UDP flow.
import { enableErrorQueue } from '../../sys/error-queue.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  closeDescriptor,
  connectSocket,
  openSocket,
  SOCK_DGRAM,
  setSocketOption,
} from '../../sys/socket.ts'
import { isMappedWords, writeSocketAddress } from '../../sys/socket-address.ts'

const IPPROTO_IP = 0
const IP_TTL = 2
const IPPROTO_IPV6 = 41
const IPV6_UNICAST_HOPS = 16

const address = new PinnedBuffer(32)

/** A socket that is connected to this address, with its error queue switched on: a descriptor, or a negative errno. */
export function openUdpSocket(
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  port: number,
): number {
  const isIpv6 = !isMappedWords(word0, word1, word2)
  const fd = openSocket(isIpv6 ? AF_INET6 : AF_INET, SOCK_DGRAM)
  if (fd < 0) return fd
  enableErrorQueue(fd, isIpv6)
  const addressBytes = writeSocketAddress(address, word0, word1, word2, word3, port)
  const failed = connectSocket(fd, address, addressBytes)
  if (failed === 0) return fd
  closeDescriptor(fd)
  return failed
}

/** The hop limit of what is sent from now on; -1 gives it back to the kernel. */
export function setHopLimit(fd: number, isIpv6: boolean, hopLimit: number): void {
  if (isIpv6) setSocketOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hopLimit)
  else setSocketOption(fd, IPPROTO_IP, IP_TTL, hopLimit)
}
