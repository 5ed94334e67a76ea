// Whether something fits on the disk of the store.

import { statfs } from 'node:fs/promises'
import { OciError } from '../errors.ts'

/** Throws `oci.no-space` unless so many bytes fit on the disk of `folder`. `action` completes "Cannot …". */
export async function requireSpace(folder: string, neededBytes: number, action: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (freeBytes >= neededBytes) return
  const inMiB = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`
  throw new OciError(
    'oci.no-space',
    `Cannot ${action}: ${inMiB(neededBytes)} needed, ${inMiB(freeBytes)} free on the disk`,
    {
      hint: 'Free some space, or remove images that are no longer needed.',
      data: { neededBytes, freeBytes },
    },
  )
}
