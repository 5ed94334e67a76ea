// Whiteouts: empty files whose names say what a layer takes away from the layers below it (image-spec layer.md,
// "Whiteouts"). `.wh.NAME` hides NAME, `.wh..wh..opq` hides all that the lower layers put into its directory.

import type { ByteString } from '../layer/byte-string.ts'

/** The name of every whiteout begins so. */
export const WHITEOUT_PREFIX = '.wh.'
/** AUFS keeps its own records under such names (`.wh..wh.plnk`, `.wh..wh.aufs`); they mean nothing in a layer. */
const AUFS_PREFIX = '.wh..wh.'
const OPAQUE = '.wh..wh..opq'

export interface Whiteout {
  readonly role: 'whiteout'
  readonly directory: readonly ByteString[]
  /** The name in that directory that is hidden. */
  readonly hidden: ByteString
}

export interface OpaqueMark {
  readonly role: 'opaque'
  readonly directory: readonly ByteString[]
}

export type EntryRole =
  | { readonly role: 'entry' }
  | { readonly role: 'ignored' }
  | OpaqueMark
  | Whiteout
  | { readonly role: 'invalid'; readonly reason: string }

const ENTRY: EntryRole = { role: 'entry' }
const IGNORED: EntryRole = { role: 'ignored' }

/** What an entry with these names is. */
export function entryRole(names: readonly ByteString[]): EntryRole {
  if (!names.some((name) => name.startsWith(WHITEOUT_PREFIX))) return ENTRY
  const directory = names.slice(0, -1)
  if (directory.some((name) => name.startsWith(AUFS_PREFIX))) return IGNORED
  if (directory.some((name) => name.startsWith(WHITEOUT_PREFIX)))
    return { role: 'invalid', reason: 'it lies below a whiteout' }
  const name = names.at(-1) ?? ''
  if (name === OPAQUE) return { role: 'opaque', directory }
  if (name.startsWith(AUFS_PREFIX)) return IGNORED
  const hidden = name.slice(WHITEOUT_PREFIX.length)
  if (hidden === '' || hidden === '.' || hidden === '..')
    return { role: 'invalid', reason: 'it is a whiteout of nothing' }
  return { role: 'whiteout', directory, hidden }
}
