// Reads the outline of a zstd frame that we made (RFC 8878 §3.1.1). The kernel sizes its decoder for the block size of
// the image: a frame without its content size, or with a larger window, mounts well and then fails every read with EIO.

import { ZSTD_FRAME_MAGIC } from '../../layer/compression.ts'

export interface ZstdFrame {
  /** Whether the window is the content itself, so that decoding needs no more memory than the block. */
  readonly isSingleSegment: boolean
  readonly contentBytes: number
  /** Size of the frame; other frames may follow it. */
  readonly frameBytes: number
}

/** The outline of the frame at the start of `bytes`, or null when there is no whole frame with a content size. */
export function readZstdFrame(bytes: Buffer): ZstdFrame | null {
  if (bytes.length < 9 || bytes.readUInt32LE(0) !== ZSTD_FRAME_MAGIC) return null
  const descriptor = bytes.readUInt8(4)
  const isSingleSegment = (descriptor & 0x20) !== 0
  const hasChecksum = (descriptor & 4) !== 0
  if ((descriptor & 3) !== 0) return null
  let offset = isSingleSegment ? 5 : 6
  let contentBytes: number
  switch (descriptor >> 6) {
    case 0:
      if (!isSingleSegment) return null
      contentBytes = bytes.readUInt8(offset)
      offset += 1
      break
    case 1:
      contentBytes = bytes.readUInt16LE(offset) + 256
      offset += 2
      break
    case 2:
      contentBytes = bytes.readUInt32LE(offset)
      offset += 4
      break
    default:
      return null
  }
  for (let isLast = false; !isLast; ) {
    if (offset + 3 > bytes.length) return null
    const header = bytes.readUIntLE(offset, 3)
    isLast = (header & 1) !== 0
    offset += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3)
  }
  if (hasChecksum) offset += 4
  return offset > bytes.length ? null : { isSingleSegment, contentBytes, frameBytes: offset }
}
