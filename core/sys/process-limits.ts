// How much this process may have open: setrlimit(2).
import koffi, { type KoffiFunc } from 'koffi'
import { PinnedBuffer } from './pinned-buffer.ts'
import { size, structLayout } from './struct-layout.ts'
import { isSystemError, SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
type LimitFunction = KoffiFunc<(resource: number, limit: number) => number>
const getrlimitFunction: LimitFunction = library.func('int getrlimit(int resource, uintptr_t limit)')
const setrlimitFunction: LimitFunction = library.func('int setrlimit(int resource, uintptr_t limit)')

/** sys/resource.h */
const RLIMIT_NOFILE = 7
const rlimit = structLayout('struct rlimit', 16, { soft: size(0), hard: size(8) })

/**
 * Lets this process have `count` descriptors open, or as many as it may where it cannot lift its limit (CAP_SYS_RESOURCE).
 * Returns what it may have. Throws SystemError.
 */
export function raiseDescriptorLimit(count: number): number {
  const memory = new PinnedBuffer(rlimit.sizeBytes)
  const limit = rlimit.at(memory.view)
  call(getrlimitFunction, memory, 'read the limit of open files')
  if (limit.soft >= count) return limit.soft
  const { hard } = limit
  for (const highest of new Set([Math.max(hard, count), hard])) {
    limit.hard = highest
    limit.soft = Math.min(highest, count)
    try {
      call(setrlimitFunction, memory, `raise the limit of open files to ${limit.soft}`)
      return limit.soft
    } catch (error) {
      if (highest === hard || !isSystemError(error, 'EPERM')) throw error
    }
  }
  return limit.soft
}

function call(limitFunction: LimitFunction, memory: PinnedBuffer, action: string): void {
  if (limitFunction(RLIMIT_NOFILE, memory.address) < 0) throw new SystemError(action, koffi.errno())
}
