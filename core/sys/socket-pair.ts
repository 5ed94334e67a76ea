// socketpair(2): two connected unix stream sockets in one process, how the packet thread hands a guest's connection to
// another thread without a port of the host.
import koffi, { type KoffiFunc } from 'koffi'
import { PinnedBuffer } from './pinned-buffer.ts'
import { AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM } from './socket.ts'
import { SystemError } from './system-error.ts'

const socketpairFunction: KoffiFunc<
  (domain: number, type: number, protocol: number, pair: number) => number
> = koffi.load('libc.so.6').func('int socketpair(int domain, int type, int protocol, uintptr_t pair)')

const pair = new PinnedBuffer(8)

/** Two non-blocking, close-on-exec descriptors of one connection. Throws SystemError (EMFILE). */
export function makeSocketPair(type = SOCK_STREAM): readonly [number, number] {
  if (socketpairFunction(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair.address) !== 0)
    throw new SystemError('make a pair of sockets', koffi.errno())
  return [pair.view.getInt32(0, true), pair.view.getInt32(4, true)]
}
