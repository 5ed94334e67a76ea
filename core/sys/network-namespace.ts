// Network namespaces: making one that outlives this process, and doing something inside of one. A namespace belongs to
// a thread, so both are done in one go, with no way back to the event loop before the thread is home again.
// Sources: network_namespaces(7), setns(2), unshare(2), mount(2); NSFS_MAGIC of linux/magic.h.
import { existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import koffi, { type KoffiFunc } from 'koffi'
import { openFile } from './file-descriptor.ts'
import { isSystemError, SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
type NumberFunction<Arguments extends readonly unknown[]> = KoffiFunc<(...parameters: Arguments) => number>
const setnsFunction: NumberFunction<[fd: number, kind: number]> = library.func('int setns(int fd, int kind)')
const unshareFunction: NumberFunction<[flags: number]> = library.func('int unshare(int flags)')
const mountFunction: NumberFunction<[source: string, target: string, type: null, flags: number, data: null]> =
  library.func(
    'int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)',
  )
const unmountFunction: NumberFunction<[target: string, flags: number]> = library.func(
  'int umount2(const char *target, int flags)',
)

const CLONE_NEWNET = 0x4000_0000
const MS_BIND = 4096
const MNT_DETACH = 2
const NSFS_MAGIC = 0x6e73_6673
/** Of this thread, not of the process: setns changes the one and leaves the other. */
const ownNamespace = '/proc/thread-self/ns/net'

/**
 * Makes sure that a network namespace lies at `path` and lives on without a process in it. One that is there is kept
 * with all that is in it. In a new one no device gets an IPv6 address by itself. Needs root. Throws SystemError.
 */
export function ensureNamespace(path: string): void {
  if (isNamespace(path)) return
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, '', { mode: 0o600 })
  try {
    away(() => {
      check(unshareFunction(CLONE_NEWNET), 'make a network namespace')
      switchIpv6Off()
      check(mountFunction(ownNamespace, path, null, MS_BIND, null), `keep a network namespace at ${path}`)
    })
  } catch (error) {
    rmSync(path, { force: true })
    throw error
  }
}

/** True where `path` is a namespace that was kept there. */
export function isNamespace(path: string): boolean {
  return existsSync(path) && statfsSync(path).type === NSFS_MAGIC
}

/**
 * Lets go of the namespace at `path`. Its own devices end with it; those that came from elsewhere (a vif) go back to
 * the first namespace, switched off. Descriptors that were opened inside keep it alive.
 */
export function removeNamespace(path: string): void {
  if (isNamespace(path)) check(unmountFunction(path, MNT_DETACH), `let go of the network namespace ${path}`)
  rmSync(path, { force: true })
}

/**
 * Calls `work` with this thread inside the namespace at `path`, and is back when it returns or throws. What it opens
 * there (sockets, TAPs) stays there. Careful: `work` must be done when it returns; a promise would go on outside.
 */
export function inNamespace<T>(path: string, work: () => T): T {
  using target = openFile(path, 'r')
  return away(() => {
    check(setnsFunction(target.fd, CLONE_NEWNET), `enter the network namespace ${path}`)
    return work()
  })
}

/** Calls `work`, which may leave this thread's namespace, and brings the thread home. */
function away<T>(work: () => T): T {
  using home = openFile(ownNamespace, 'r')
  try {
    return work()
  } finally {
    if (setnsFunction(home.fd, CLONE_NEWNET) !== 0) {
      // Whatever this process opened from now on would be in the wrong place.
      process.stderr.write(
        `${new SystemError("go back to the host's network namespace", koffi.errno()).message}\n`,
      )
      process.abort()
    }
  }
}

/** The kernel must not speak on a guest's wire: without addresses it answers nothing. */
function switchIpv6Off(): void {
  // These files are those of the namespace of the thread that opens them (proc_sysctl.c).
  for (const which of ['all', 'default']) {
    try {
      writeFileSync(`/proc/sys/net/ipv6/conf/${which}/disable_ipv6`, '1')
    } catch (error) {
      // A kernel without IPv6.
      if (!isSystemError(error, 'ENOENT')) throw error
    }
  }
}

function check(result: number, action: string): void {
  if (result !== 0) throw new SystemError(action, koffi.errno())
}
