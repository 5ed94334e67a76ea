// The records of a segment's table of contents: header, entries, contents, extents, and the pages of tails, in this order.

import { binaryLayout } from '../binary-layout.ts'

export const HEADER = binaryLayout({
  entryCount: 'u32',
  contentCount: 'u32',
  extentCount: 'u32',
  tailPageCount: 'u32',
})
/** Which content the layer's entry has; sorted by ordinal. */
export const ENTRY = binaryLayout({ ordinal: 'u32', content: 'u32' })
/** The SHA-256 of the content follows. */
export const CONTENT = binaryLayout({
  sizeBytes: 'u64',
  firstBlock: 'u32',
  firstExtent: 'u32',
  extentCount: 'u32',
  tailPage: 'u32',
  tailOffset: 'u32',
  reserved: 'u32',
})
export const EXTENT = binaryLayout({ fileBlock: 'u32', blockCount: 'u32' })
export const TAIL_PAGE = binaryLayout({ block: 'u32' })
export const DIGEST_BYTES = 32
export const CONTENT_BYTES = CONTENT.sizeBytes + DIGEST_BYTES

/** Instead of a page of tails: the content has none. */
export const NO_TAIL_PAGE = 0xffff_ffff
