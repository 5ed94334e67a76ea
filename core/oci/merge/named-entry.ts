// An entry of a layer with its path taken apart and its role known, and the error for one that cannot be placed.

import { OciError } from '../errors.ts'
import { type ByteString, quoted } from '../layer/byte-string.ts'
import type { LayerIndex } from '../layer/read-layer.ts'
import type { TarEntry } from '../layer/tar-entry.ts'
import { entryNames, PATH_BYTES_LIMIT } from './entry-path.ts'
import { type EntryRole, entryRole } from './whiteout.ts'

export interface NamedEntry {
  readonly entry: TarEntry
  /** From the root down; empty for the root itself. */
  readonly names: readonly ByteString[]
  readonly role: EntryRole
}

/** Takes the path of an entry apart. Throws `oci.corrupt-layer`, or `oci.limit` for one that is too long. */
export function nameEntry(layer: LayerIndex, entry: TarEntry): NamedEntry {
  const names = entryNames(entry.path)
  if (!Array.isArray(names)) throw invalidEntry(layer, entry, names.reason, names.which)
  const role = entryRole(names)
  if (role.role === 'invalid') throw invalidEntry(layer, entry, role.reason)
  return { entry, names, role }
}

/** The error of an entry that breaks the rules of layers, or the limit `which`: names layer, path and reason. */
export function invalidEntry(layer: LayerIndex, entry: TarEntry, reason: string, which?: string): OciError {
  return new OciError(
    which === undefined ? 'oci.corrupt-layer' : 'oci.limit',
    `Cannot merge ${layer.name}, entry ${quoted(entry.path)}: ${reason}`,
    {
      data: {
        layer: layer.name,
        path: entry.path.slice(0, PATH_BYTES_LIMIT),
        ...(which === undefined ? {} : { which }),
      },
    },
  )
}
