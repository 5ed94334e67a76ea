// How a layer is compressed, told by its first bytes. Media types lie often enough (Docker's do so by design) that the
// magic numbers decide.

import { OciError } from '../errors.ts'

export type LayerCompression = 'none' | 'gzip' | 'zstd'

/** How many bytes `detectCompression` wants to see; fewer are fine where the layer is shorter. */
export const COMPRESSION_MAGIC_BYTES = 6

const UNSUPPORTED: readonly { readonly name: string; readonly magic: Buffer }[] = [
  { name: 'xz', magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]) },
  { name: 'bzip2', magic: Buffer.from('BZh') },
  { name: 'lz4', magic: Buffer.from([0x04, 0x22, 0x4d, 0x18]) },
  { name: 'compress', magic: Buffer.from([0x1f, 0x9d]) },
]

/**
 * The compression of a layer that begins with `head`: gzip (RFC 1952), zstd (RFC 8878, also behind a skippable frame)
 * or none. Throws `oci.unsupported-media` for compressions that no image tool writes.
 */
export function detectCompression(head: Uint8Array, layerName: string): LayerCompression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head.length >= 4) {
    const magic = Buffer.from(head.buffer, head.byteOffset, 4).readUInt32LE(0)
    if (magic === ZSTD_FRAME_MAGIC || isSkippableFrameMagic(magic)) return 'zstd'
  }
  for (const { name, magic } of UNSUPPORTED) {
    if (head.length >= magic.length && magic.equals(head.subarray(0, magic.length))) {
      throw new OciError(
        'oci.unsupported-media',
        `Cannot read ${layerName}: it is compressed with ${name}; only gzip, zstd and plain tar are read`,
        { data: { mediaType: name } },
      )
    }
  }
  return 'none'
}

/** RFC 8878 §3.1.1: the first four bytes of a zstd frame, little-endian. */
export const ZSTD_FRAME_MAGIC = 0xfd2fb528

/** RFC 8878 §3.1.2: 0x184D2A50 to 0x184D2A5F begin a frame of user data that decoders skip. */
export function isSkippableFrameMagic(magic: number): boolean {
  return magic >>> 4 === 0x184d2a5
}
