// CRC-32C (Castagnoli, RFC 3720 appendix B.4), which EROFS has over its superblock. zlib's crc32 is another polynomial.

const REVERSED_POLYNOMIAL = 0x82f63b78
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? REVERSED_POLYNOMIAL : 0)
  return value
})

/** The checksum as Linux's crc32c() computes it from the seed ~0: without the final inversion of the RFC. */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffff_ffff
  for (const byte of bytes) sum = (sum >>> 8) ^ (TABLE[(sum ^ byte) & 0xff] ?? 0)
  return sum >>> 0
}
