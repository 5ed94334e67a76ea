// fcntl(2) for the one flag that descriptors from elsewhere may lack: O_NONBLOCK.
import koffi, { type KoffiFunc } from 'koffi'
import { SystemError } from './system-error.ts'

// fcntl is variadic; on x86-64 a third integer argument travels the same way (System V ABI §3.5.7).
const fcntlFunction: KoffiFunc<(fd: number, command: number, argument: number) => number> = koffi
  .load('libc.so.6')
  .func('int fcntl(int fd, int command, intptr_t argument)')

// asm-generic/fcntl.h
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000

/**
 * Makes reads and writes of `fd` return at once. Careful: the flag belongs to the open file description, so that others who
 * share it (after dup or over a unix socket) get it too. Throws SystemError (EBADF).
 */
export function setNonBlocking(fd: number): void {
  const flags = fcntlFunction(fd, F_GETFL, 0)
  if (flags < 0 || fcntlFunction(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
    throw new SystemError(`make descriptor ${fd} non-blocking`, koffi.errno())
  }
}
