// Bounds of the tar parser. A layer is foreign input: what a header announces must never decide how much memory we
// take (Go CVE-2022-2879 and CVE-2025-58183 were unbounded PAX and GNU sparse headers).

export const TAR_LIMITS = {
  /** A PAX header or a GNU long name. */
  metadataBytes: 1024 * 1024,
  /** Records in one PAX header, apart from the pairs of a sparse map. */
  paxRecords: 1000,
  /** Names, link targets and extended attributes of all entries of a layer: what its index keeps in memory. */
  indexBytes: 256 * 1024 * 1024,
  /** Data regions of one sparse file. */
  sparseRegions: 1_000_000,
  /** Linux: XATTR_SIZE_MAX and XATTR_NAME_MAX (include/uapi/linux/limits.h). */
  xattrValueBytes: 64 * 1024,
  xattrNameBytes: 255,
} as const
