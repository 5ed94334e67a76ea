// epoll(7) for a thread that waits in it: thousands of descriptors, each with a 32-bit cookie of the caller's.
import koffi, { type KoffiFunc } from 'koffi'
import { EINTR } from './errno.ts'
import { FileDescriptor } from './file-descriptor.ts'
import { PinnedBuffer } from './pinned-buffer.ts'
import { SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')
type NumberFunction<Arguments extends readonly unknown[]> = KoffiFunc<(...parameters: Arguments) => number>
const createFunction: NumberFunction<[flags: number]> = library.func('int epoll_create1(int flags)')
const controlFunction: NumberFunction<[epoll: number, operation: number, fd: number, event: number]> =
  library.func('int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)')
const waitFunction: NumberFunction<[epoll: number, events: number, count: number, timeoutMs: number]> =
  library.func('int epoll_wait(int epoll, uintptr_t events, int count, int timeout)')

// sys/epoll.h
export const EPOLLIN = 0x1
export const EPOLLPRI = 0x2
export const EPOLLOUT = 0x4
export const EPOLLERR = 0x8
export const EPOLLHUP = 0x10
export const EPOLLRDHUP = 0x2000
export const EPOLLET = 0x8000_0000
const EPOLL_CLOEXEC = 0x80000
const EPOLL_CTL_ADD = 1
const EPOLL_CTL_DEL = 2
const EPOLL_CTL_MOD = 3
/** struct epoll_event is packed on x86-64: u32 events, u64 data. */
const EVENT_BYTES = 12

export class Epoll implements Disposable {
  readonly #descriptor: FileDescriptor
  readonly #events: PinnedBuffer
  readonly #capacity: number
  readonly #request = new PinnedBuffer(16)

  constructor(capacity = 64) {
    const fd = createFunction(EPOLL_CLOEXEC)
    if (fd < 0) throw new SystemError('create an epoll instance', koffi.errno())
    this.#descriptor = new FileDescriptor(fd)
    this.#capacity = capacity
    this.#events = new PinnedBuffer(capacity * EVENT_BYTES)
  }

  /** Adds `fd`. Returns 0 or a negative errno. */
  add(fd: number, events: number, cookie: number): number {
    return this.#control(EPOLL_CTL_ADD, fd, events, cookie)
  }

  modify(fd: number, events: number, cookie: number): number {
    return this.#control(EPOLL_CTL_MOD, fd, events, cookie)
  }

  remove(fd: number): number {
    return this.#control(EPOLL_CTL_DEL, fd, 0, 0)
  }

  /** Blocks the thread until something happens or the time is over: how many events there are to look at. */
  wait(timeoutMs: number): number {
    const count = waitFunction(this.#descriptor.fd, this.#events.address, this.#capacity, timeoutMs)
    if (count >= 0) return count
    if (koffi.errno() === EINTR) return 0
    throw new SystemError('wait for events', koffi.errno())
  }

  /** After `wait()`: the events of the `index`-th. */
  events(index: number): number {
    return this.#events.view.getUint32(index * EVENT_BYTES, true)
  }

  /** After `wait()`: the cookie of the `index`-th. */
  cookie(index: number): number {
    return this.#events.view.getUint32(index * EVENT_BYTES + 4, true)
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]()
  }

  #control(operation: number, fd: number, events: number, cookie: number): number {
    const { view } = this.#request
    view.setUint32(0, events >>> 0, true)
    view.setUint32(4, cookie >>> 0, true)
    view.setUint32(8, 0, true)
    return controlFunction(this.#descriptor.fd, operation, fd, this.#request.address) < 0 ? -koffi.errno() : 0
  }
}
