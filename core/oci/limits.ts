// Bounds on everything that comes from outside. Documents are small by nature (containers/image iolimits.go and
// containerd use the same order); streams are bounded so that a hostile registry or layer cannot fill memory or disk.

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

export const LIMITS = {
  /** An index or a manifest, and `manifest.json` of a docker-archive. */
  manifestBytes: 4 * MIB,
  configBytes: 8 * MIB,
  /** The answer of a token server, and any error body that we read. */
  tokenBytes: 1 * MIB,
  errorBodyBytes: 64 * KIB,
  /** Nesting of objects and arrays in a JSON document. */
  jsonDepth: 64,
  /** An index may point to an index; deeper nesting has no honest use. */
  indexDepth: 3,
  indexEntries: 1000,
  /** Indexes and manifests that are read on the way to the manifest for a platform. */
  indexDocuments: 50,
  /** overlayfs and Docker stop at 127 layers; leave room for other builders. */
  layers: 512,
  /** One layer as it is stored (compressed), and one whole image archive. */
  blobBytes: 64 * GIB,
  archiveBytes: 128 * GIB,
  /** One layer, and one image, after decompression. */
  layerUncompressedBytes: 64 * GIB,
  imageUncompressedBytes: 128 * GIB,
  /**
   * How many times its stored size a layer may have when decompressed, from a size on that is worth the question. Honest
   * gzip always passes, it cannot do more than 1032 times; zstd can do tens of thousands.
   */
  expansion: 1100,
  expansionFreeBytes: 256 * MIB,
  /** Entries of one layer and of a merged image; members of an image archive. */
  layerEntries: 2_000_000,
  imageEntries: 4_000_000,
  archiveMembers: 100_000,
  redirects: 5,
  /** A list of tags or referrers: its pages, bytes of one of them, and referrers of one image. */
  listPages: 200,
  listBytes: 16 * MIB,
  referrers: 10_000,
  /** The document of one signature; how many of an image are looked at; what one statement may be on. */
  signatureBytes: 1 * MIB,
  signatures: 128,
  signedSubjects: 1024,
} as const

/** How many layers are downloaded at the same time (containerd and Docker use 3). */
export const PARALLEL_DOWNLOADS = 3
