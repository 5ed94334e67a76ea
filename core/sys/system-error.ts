// The error of a failed system call: its errno by number and by name (ENOENT, EAGAIN, …), so that callers
// decide by name and people read a name instead of a number.
import { constants } from 'node:os'
import { BulkheadError } from '../errors.ts'

/** A system call that failed. `errorName` is the symbolic errno (`ENOENT`); `code` is `sys.` + that name. */
export class SystemError extends BulkheadError {
  readonly errorName: string
  readonly errno: number

  constructor(action: string, errno: number) {
    const errorName = errnoName(errno)
    super(`sys.${errorName}`, `Cannot ${action}: ${describeErrno(errorName)}`, {
      data: { errno, errorName },
    })
    this.errorName = errorName
    this.errno = errno
  }
}

/** True for a SystemError, or an error of Node's own file and net functions, with one of these errno names. */
export function isSystemError(error: unknown, ...names: readonly string[]): boolean {
  if (error instanceof SystemError) return names.length === 0 || names.includes(error.errorName)
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return false
  return names.length === 0 ? 'errno' in error : names.includes(error.code)
}

const namesByNumber: ReadonlyMap<number, string> = new Map(
  // Careful: EAGAIN and EWOULDBLOCK share a number, as do ENOTSUP and EOPNOTSUPP; the first name stays.
  Object.entries(constants.errno)
    .reverse()
    .filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'ENOTSUP')
    .map(([name, number]) => [number, name]),
)

/** The symbolic name of an errno on this system, `E<number>` where it has none. */
export function errnoName(errno: number): string {
  return namesByNumber.get(errno) ?? `E${errno}`
}

const explanations: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EBUSY: 'it is in use',
  EEXIST: 'it exists already',
  EFAULT: 'bad address',
  EINVAL: 'invalid argument',
  ENODEV: 'no such device',
  ENOENT: 'it does not exist',
  ENOMEM: 'out of memory',
  ENOSPC: 'no space left',
  ENOSYS: 'not supported by this kernel',
  ENXIO: 'no such device or address',
  EPERM: 'not permitted',
  ESRCH: 'it does not exist',
}

function describeErrno(name: string): string {
  const explanation = explanations[name]
  return explanation === undefined ? name : `${explanation} (${name})`
}
