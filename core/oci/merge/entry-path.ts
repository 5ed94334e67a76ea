// Turns the path of a layer entry into names below the root. Layers write "./a", "/a", "a//b" and, when hostile,
// "../../a": all of it is read as containerd does, lexically and clamped at the root.

import type { ByteString } from '../layer/byte-string.ts'

/** Linux: NAME_MAX, and PATH_MAX with its terminating NUL (include/uapi/linux/limits.h). */
export const NAME_BYTES_LIMIT = 255
export const PATH_BYTES_LIMIT = 4096

/** Why a path cannot be taken. */
export interface BadPath {
  readonly reason: string
  /** The limit that it exceeds, if it is too long. */
  readonly which?: 'pathBytes' | 'nameBytes'
}

/**
 * The names that lead from the root to the entry; empty for the root itself. Returns the reason instead when the path is
 * one that no Linux file system can hold.
 */
export function entryNames(path: ByteString): ByteString[] | BadPath {
  if (path === '') return { reason: 'its path is empty' }
  if (path.length >= PATH_BYTES_LIMIT)
    return { reason: `its path has ${path.length} bytes, and Linux allows 4095`, which: 'pathBytes' }
  if (path.includes('\0')) return { reason: 'its path holds a NUL byte' }
  const names: ByteString[] = []
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else names.push(name)
    if (name.length > NAME_BYTES_LIMIT)
      return {
        reason: `a name in its path has ${name.length} bytes, and Linux allows 255`,
        which: 'nameBytes',
      }
  }
  return names
}
