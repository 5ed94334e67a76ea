// struct sockaddr_in and sockaddr_in6 (ip(7), ipv6(7)) from and to four 32-bit words in host order, IPv4 as
// ::ffff:a.b.c.d. The packet path keeps addresses as such words.
import type { PinnedBuffer } from './pinned-buffer.ts'
import { AF_INET, AF_INET6 } from './socket.ts'

const MAPPED_PREFIX = 0xffff
export const SOCKADDR_IN_BYTES = 16
export const SOCKADDR_IN6_BYTES = 28

export function isMappedWords(word0: number, word1: number, word2: number): boolean {
  return word0 === 0 && word1 === 0 && word2 === MAPPED_PREFIX
}

/** Writes an address at the start of `target` (28 bytes are enough): its size, 16 for IPv4 and 28 for IPv6. */
export function writeSocketAddress(
  target: PinnedBuffer,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  port: number,
): number {
  const { view } = target
  view.setUint16(2, port)
  view.setUint32(4, 0)
  if (isMappedWords(word0, word1, word2)) {
    view.setUint16(0, AF_INET, true)
    view.setInt32(4, word3)
    view.setUint32(8, 0)
    view.setUint32(12, 0)
    return SOCKADDR_IN_BYTES
  }
  view.setUint16(0, AF_INET6, true)
  view.setInt32(8, word0)
  view.setInt32(12, word1)
  view.setInt32(16, word2)
  view.setInt32(20, word3)
  view.setUint32(24, 0)
  return SOCKADDR_IN6_BYTES
}

/** Where `readSocketAddress()` puts what it reads. */
export class SocketAddress {
  word0 = 0
  word1 = 0
  word2 = 0
  word3 = 0
  port = 0
}

/** Reads a sockaddr of either family from `offset` of `source` on. False where it is of another family. */
export function readSocketAddress(source: PinnedBuffer, into: SocketAddress, offset = 0): boolean {
  const { view } = source
  const family = view.getUint16(offset, true)
  into.port = view.getUint16(offset + 2)
  if (family === AF_INET) {
    into.word0 = 0
    into.word1 = 0
    into.word2 = MAPPED_PREFIX
    into.word3 = view.getInt32(offset + 4)
    return true
  }
  if (family !== AF_INET6) return false
  into.word0 = view.getInt32(offset + 8)
  into.word1 = view.getInt32(offset + 12)
  into.word2 = view.getInt32(offset + 16)
  into.word3 = view.getInt32(offset + 20)
  return true
}
