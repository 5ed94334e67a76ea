// Landlock (landlock(7), linux/landlock.h): from here on this thread, and those it starts, may only read, and only below
// the given paths. What was open before stays as it was.
import { closeSync, constants, openSync } from 'node:fs'
import koffi, { type KoffiFunc } from 'koffi'
import { PinnedBuffer } from './pinned-buffer.ts'
import { SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
// syscall(2) is variadic; on x86-64 integer arguments travel the same way.
const syscallFunction: KoffiFunc<
  (number: number, first: number, second: number, third: number, fourth: number) => number
> = library.func(
  'long syscall(long number, uintptr_t first, uintptr_t second, uintptr_t third, uintptr_t fourth)',
)

const SYS_LANDLOCK_CREATE_RULESET = 444
const SYS_LANDLOCK_ADD_RULE = 445
const SYS_LANDLOCK_RESTRICT_SELF = 446
const LANDLOCK_CREATE_RULESET_VERSION = 1
const LANDLOCK_RULE_PATH_BENEATH = 1
const READ_FILE = 1 << 2
const READ_DIR = 1 << 3
/** Every right that the first version knows, then REFER of version 2 and TRUNCATE of version 3. */
const RIGHTS_BY_VERSION = [0, 0x1fff, 0x3fff, 0x7fff]
/** linux/fcntl.h */
const O_PATH = 0o10000000

/**
 * Confines this thread to reading below `paths`; those that do not exist are left out. The thread must not be able to
 * gain privileges any more (seccomp.ts). Throws SystemError: ENOSYS and EOPNOTSUPP where the kernel has no Landlock.
 */
export function confineFiles(paths: readonly string[]): void {
  const version = call(
    [SYS_LANDLOCK_CREATE_RULESET, 0, 0, LANDLOCK_CREATE_RULESET_VERSION, 0],
    'use Landlock',
  )
  const attributes = new PinnedBuffer(8)
  const rights = RIGHTS_BY_VERSION[Math.min(version, RIGHTS_BY_VERSION.length - 1)] ?? 0
  attributes.view.setBigUint64(0, BigInt(rights), true)
  const ruleset = call(
    [SYS_LANDLOCK_CREATE_RULESET, attributes.address, attributes.sizeBytes, 0, 0],
    'make a Landlock ruleset',
  )
  try {
    for (const path of paths) allowReading(ruleset, path)
    call([SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0, 0], 'confine this thread with Landlock')
  } finally {
    closeSync(ruleset)
  }
}

function allowReading(ruleset: number, path: string): void {
  let parent: number
  try {
    parent = openSync(path, O_PATH | constants.O_DIRECTORY)
  } catch (error) {
    // A folder that is not there cannot be read anyway.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return
    throw error
  }
  try {
    // struct landlock_path_beneath_attr, packed.
    const rule = new PinnedBuffer(12)
    rule.view.setBigUint64(0, BigInt(READ_FILE | READ_DIR), true)
    rule.view.setInt32(8, parent, true)
    call(
      [SYS_LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, rule.address, 0],
      `allow reading below ${path}`,
    )
  } finally {
    closeSync(parent)
  }
}

function call(parameters: [number, number, number, number, number], action: string): number {
  const result = syscallFunction(...parameters)
  if (result < 0) throw new SystemError(action, koffi.errno())
  return result
}
