// What one member of a layer says about a file system object: the parser's output and the layer index's content.

import type { ByteString } from './byte-string.ts'

export type TarEntryType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'hardlink'
  | 'character-device'
  | 'block-device'
  | 'fifo'

/** Extended attributes by full name (`security.capability`); values are bytes. */
export type ExtendedAttributes = ReadonlyMap<ByteString, Buffer>

export interface TarEntry {
  /** Position among the entries of the layer, from 0. */
  readonly ordinal: number
  /** As written in the layer: not normalised, not trusted. */
  readonly path: ByteString
  readonly type: TarEntryType
  /** Permission bits with setuid, setgid and sticky: 0–0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Whole seconds since 1970, rounded down; may be negative. */
  readonly mtimeSeconds: number
  /** Size of a regular file with its holes; 0 for everything else. */
  readonly sizeBytes: number
  /** The target of a symbolic or hard link, else empty. */
  readonly linkTarget: ByteString
  readonly deviceMajor: number
  readonly deviceMinor: number
  readonly xattrs: ExtendedAttributes | null
}
