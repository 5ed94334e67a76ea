// The file of the flow journal: beside the engine's socket, so on a tmpfs, where it outlives a killed engine and no reboot.
// It is opened while the engine is root still and may open files; afterwards there is only the mapping of it.
import { closeSync, constants, fchmodSync, fstatSync, openSync, rmSync } from 'node:fs'

const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants
const MODE = 0o600

/** Where the journal of the engine that listens at `socketPath` is. */
export function journalPath(socketPath: string): string {
  return `${socketPath}.flows`
}

/**
 * Opens the file, or makes an empty one; what is there and is no file of ours alone is removed first. Returns its descriptor,
 * the caller's. Careful: only who listens on the socket may ask, for two engines must not write to one journal. Throws Node's
 * errors.
 */
export function openJournalFile(path: string): number {
  const fd = openOurs(path)
  if (fd !== undefined) return fd
  rmSync(path, { force: true })
  return openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, MODE)
}

function openOurs(path: string): number | undefined {
  let fd: number
  try {
    fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, MODE)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ELOOP') return undefined
    throw error
  }
  const stat = fstatSync(fd)
  if (stat.isFile() && stat.nlink === 1 && stat.uid === process.geteuid?.()) {
    fchmodSync(fd, MODE)
    return fd
  }
  closeSync(fd)
  return undefined
}
