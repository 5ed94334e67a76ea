// Which messages a raw ICMP socket gets: the kernel keeps the others away before they cost anything.
// Sources: raw(7) and linux/icmp.h (ICMP_FILTER: a bit set is a type kept away), RFC 3542 §3.2 (ICMP6_FILTER, which Linux
// has the same way round).
import koffi, { type KoffiFunc } from 'koffi'
import { PinnedBuffer } from './pinned-buffer.ts'

const library = koffi.load('libc.so.6')
const setsockoptFunction: KoffiFunc<
  (fd: number, level: number, name: number, value: number, size: number) => number
> = library.func('int setsockopt(int fd, int level, int name, uintptr_t value, unsigned int size)')

const SOL_RAW = 255
const ICMP_FILTER = 1
const IPPROTO_ICMPV6 = 58
const ICMPV6_FILTER = 1
const ICMPV6_FILTER_BYTES = 32

/** Lets only these types through. Returns 0 or a negative errno. */
export function filterIcmp(fd: number, isIpv6: boolean, types: readonly number[]): number {
  const filter = new PinnedBuffer(ICMPV6_FILTER_BYTES)
  filter.bytes.fill(0xff)
  const sizeBytes = isIpv6 ? ICMPV6_FILTER_BYTES : 4
  for (const type of types) {
    const at = (type >>> 5) * 4
    if (at >= sizeBytes) continue
    filter.view.setUint32(at, filter.view.getUint32(at, true) & ~(1 << (type & 31)), true)
  }
  const failed = isIpv6
    ? setsockoptFunction(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, filter.at(0, sizeBytes), sizeBytes)
    : setsockoptFunction(fd, SOL_RAW, ICMP_FILTER, filter.at(0, sizeBytes), sizeBytes)
  return failed < 0 ? -koffi.errno() : 0
}
