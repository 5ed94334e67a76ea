// squashfs with zstd as an image format: small, and read by every kernel that guests are likely to have.

import type { ImageFormat } from '../image-format.ts'
import { compressionPools } from './compression-pool.ts'
import { SquashfsSegmentWriter } from './segment-writer.ts'
import { checkSquashfs } from './self-check.ts'
import { writeSquashfsImage } from './write-image.ts'

/** Level 1 is the fastest and only 6 % larger than level 3; readers do not feel the difference. */
export const DEFAULT_COMPRESSION_LEVEL = 1
/** Change the number when other bytes are written of the same layers: what older writers left is then made again. */
const WRITER_VERSION = 3

/** The format with a zstd level, 1–22. */
export function squashfsFormat(compressionLevel = DEFAULT_COMPRESSION_LEVEL): ImageFormat {
  const takePool = compressionPools(compressionLevel)
  return {
    name: 'squashfs',
    version: `zstd${compressionLevel}-${WRITER_VERSION}`,
    // 182 MB of segments, and a root image of 181 MB.
    bytesPerLayerByte: 1,
    openSegment: (file) => new SquashfsSegmentWriter(file, takePool()),
    async writeImage(options) {
      using pool = takePool()
      return await writeSquashfsImage(options, pool.compressor)
    },
    check: checkSquashfs,
  }
}
