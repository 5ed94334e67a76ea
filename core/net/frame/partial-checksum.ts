// Frames pass between guest and engine with their TCP or UDP checksum begun and not ended (virtio 1.2 §5.1.6.2,
// VIRTIO_NET_HDR_F_NEEDS_CSUM): the field holds the sum of the pseudo-header. Who shows such a frame to others, in a capture
// or quoted by an ICMP error, ends it: nobody out there ever saw it otherwise.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { fold, internetSum } from './checksum.ts'

/**
 * Ends the checksum of the Ethernet frame at `at` of `buffer`, in place: the sum of all from `checksumStart` on (an offset in
 * the frame) goes to `checksumOffset` behind that. Offsets that lie outside of the frame, as a guest may claim, change nothing.
 */
export function completeChecksum(
  buffer: PinnedBuffer,
  at: number,
  frameBytes: number,
  checksumStart: number,
  checksumOffset: number,
): void {
  const field = checksumStart + checksumOffset
  if (field + 2 > frameBytes) return
  const sum = fold(internetSum(buffer, at + checksumStart, frameBytes - checksumStart))
  // 0 would say "no checksum" in UDP (RFC 768); to TCP both are the same number.
  const checksum = ~sum & 0xffff
  buffer.view.setUint16(at + field, checksum === 0 ? 0xffff : checksum)
}
