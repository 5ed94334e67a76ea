// How large the packets are that a frame becomes on a wire: a frame with a segmentation offload is many.
import type { Frame } from './frame.ts'
import { GSO_NONE, NETWORK, PROTOCOL_TCP, UDP_HEADER_BYTES } from './layout.ts'

/** Bytes of the largest IP packet of the frame, which `parseFrame()` has accepted. */
export function largestPacketBytes(frame: Frame): number {
  const packetBytes = frame.end - NETWORK
  if (frame.gsoType === GSO_NONE) return packetBytes
  const headerBytes =
    frame.protocol === PROTOCOL_TCP
      ? (frame.buffer.view.getUint8(frame.transport + 12) >>> 4) * 4
      : UDP_HEADER_BYTES
  return Math.min(packetBytes, frame.transport - NETWORK + headerBytes + frame.gsoSizeBytes)
}
