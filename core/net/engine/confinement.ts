// What the engine gives up once it has all it needs: it parses what guests send, so it is to be worth nothing to who takes
// it over. Each step that this kernel cannot take is reported and the others are taken all the same.
import { confineFiles } from '../../sys/landlock.ts'
import { confineSystemCalls, forbidNewPrivileges } from '../../sys/seccomp.ts'

/** What the engine opens as it runs: resolv.conf and what it links to, and what the kernel says of process and network. */
export const readableFolders: readonly string[] = ['/etc', '/run', '/proc/self', '/proc/sys/net']

/**
 * Of this thread and what it starts: no new privileges, and files are read below `folders` alone. Returns what could not
 * be done. Careful: threads that run already (Node's pool) are not confined by this; the system call filter holds for all.
 */
export function confineThread(folders: readonly string[]): string | undefined {
  return (
    attempt('no privileges can be kept away', forbidNewPrivileges) ??
    attempt('files are not confined', () => confineFiles(folders))
  )
}

/** Of the whole process. Returns what could not be done. */
export function confineProcess(): string | undefined {
  return attempt('system calls are not filtered', confineSystemCalls)
}

/** Becomes the user `UID:GID` for good, in all threads: no other groups, no capabilities. */
export function leaveRoot(uid: number, gid: number): void {
  if (process.getuid?.() !== 0) return
  process.setgroups?.([])
  process.setgid?.(gid)
  process.setuid?.(uid)
}

function attempt(what: string, step: () => void): string | undefined {
  try {
    step()
    return undefined
  } catch (error) {
    return `${what}: ${error instanceof Error ? error.message : String(error)}`
  }
}
