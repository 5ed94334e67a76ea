// Uncompressed EROFS as an image format: two and a half times the size of squashfs, made as fast as bytes can be copied,
// and read several times faster.

import type { ImageFormat } from '../image-format.ts'
import { ErofsSegmentWriter } from './segment-writer.ts'
import { checkErofs } from './self-check.ts'
import { writeErofsImage } from './write-image.ts'

/** Change the number when other bytes are written of the same layers: what older writers left is then made again. */
const WRITER_VERSION = 1

export const EROFS: ImageFormat = {
  name: 'erofs',
  version: `plain-${WRITER_VERSION}`,
  // 444 MB of segments, and a root image of 444 MB.
  bytesPerLayerByte: 2.4,
  openSegment: (file) => new ErofsSegmentWriter(file),
  writeImage: writeErofsImage,
  check: checkErofs,
}
