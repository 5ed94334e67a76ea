// One frame from a guest, looked at in place. There is one such object, used again for every frame: nothing is allocated
// and nothing copied. `parseFrame()` of parse-frame.ts fills it; who handles the frame reads it and keeps no part of it.
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAX_FRAME_BYTES } from './layout.ts'

export class Frame {
  /** The virtio-net header at 0, Ethernet at 10, IP at 24 (layout.ts). */
  readonly buffer: PinnedBuffer
  /** Of all of it, the virtio-net header too. */
  lengthBytes = 0

  /** Of the virtio-net header. */
  needsChecksum = false
  isChecksumValid = false
  gsoType = 0
  gsoSizeBytes = 0

  etherType = 0
  isIpv6 = false
  /** The last header's protocol: behind the extension headers of IPv6. */
  protocol = 0
  hopLimit = 0
  trafficClass = 0
  /** Where the transport header begins, and where the IP packet ends (offsets in `buffer`; Ethernet padding is cut off). */
  transport = 0
  end = 0
  /** Words of the addresses, IPv4 as ::ffff:a.b.c.d. */
  source0 = 0
  source1 = 0
  source2 = 0
  source3 = 0
  destination0 = 0
  destination1 = 0
  destination2 = 0
  destination3 = 0

  isFragment = false
  fragmentOffsetBytes = 0
  hasMoreFragments = false
  fragmentId = 0

  constructor(buffer = new PinnedBuffer(MAX_FRAME_BYTES)) {
    this.buffer = buffer
  }

  get transportBytes(): number {
    return this.end - this.transport
  }
}
