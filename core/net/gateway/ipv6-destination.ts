// Where a message of the gateway goes that is not for the guest's own global address: to its link-local one, or to all
// nodes on its wire.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { DESTINATION_MAC, NETWORK } from '../frame/layout.ts'

/** Puts another destination into an IPv6 header that `writeNetworkHeaders()` wrote. */
export function setIpv6Destination(
  target: PinnedBuffer,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
): void {
  const { view } = target
  view.setInt32(NETWORK + 24, word0)
  view.setInt32(NETWORK + 28, word1)
  view.setInt32(NETWORK + 32, word2)
  view.setInt32(NETWORK + 36, word3)
}

/** Sends it to all nodes: ff02::1 (RFC 4291 §2.7.1), and the MAC that belongs to it (RFC 2464 §7). */
export function setAllNodesDestination(target: PinnedBuffer): void {
  setIpv6Destination(target, 0xff02_0000 | 0, 0, 0, 1)
  target.view.setUint16(DESTINATION_MAC, 0x3333)
  target.view.setUint32(DESTINATION_MAC + 2, 1)
}
