// The C library through koffi: the only foreign functions of Bulkhead. Every pointer is a plain number
// (`uintptr_t`; user addresses lie below 2^47), which makes a call cheap (0.3 µs) and keeps JavaScript's
// memory manager out of it: who passes an address keeps the memory behind it alive and in place.
import koffi, { type KoffiFunc } from 'koffi'
import { SystemError } from './system-error.ts'

const library = koffi.load('libc.so.6')

/** An address in this process. 0 is NULL. */
export type Address = number

type NumberFunction<Arguments extends readonly unknown[]> = KoffiFunc<(...parameters: Arguments) => number>

// ioctl(2) is variadic; on x86-64 a third integer argument travels the same way (System V ABI §3.5.7).
const ioctlFunction: NumberFunction<[fd: number, request: number, argument: Address]> = library.func(
  'int ioctl(int fd, unsigned long request, uintptr_t argument)',
)
const mmapFunction = library.func(
  'uintptr_t mmap(uintptr_t address, size_t size, int protection, int flags, int fd, int64_t offset)',
) as (...parameters: number[]) => number | bigint
const munmapFunction: NumberFunction<[address: Address, size: number]> = library.func(
  'int munmap(uintptr_t address, size_t size)',
)
const readFunction: NumberFunction<[fd: number, buffer: Address, size: number]> = library.func(
  'intptr_t read(int fd, uintptr_t buffer, size_t size)',
)
const writeFunction: NumberFunction<[fd: number, buffer: Address, size: number]> = library.func(
  'intptr_t write(int fd, uintptr_t buffer, size_t size)',
)
const preadFunction: NumberFunction<[fd: number, buffer: Address, size: number, offset: number]> =
  library.func('intptr_t pread(int fd, uintptr_t buffer, size_t size, int64_t offset)')
const pollFunction: NumberFunction<[entries: Address, count: number, timeoutMs: number]> = library.func(
  'int poll(uintptr_t entries, unsigned long count, int timeout)',
)
const eventfdFunction: NumberFunction<[initial: number, flags: number]> = library.func(
  'int eventfd(unsigned int initial, int flags)',
)
const getsockoptFunction: NumberFunction<
  [fd: number, level: number, name: number, value: Address, size: Address]
> = library.func('int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t size)')
const memcpyFunction = library.func(
  'uintptr_t memcpy(uintptr_t destination, uintptr_t source, size_t size)',
) as (destination: Address, source: Address, size: number) => unknown
const memsetFunction = library.func('uintptr_t memset(uintptr_t destination, int value, size_t size)') as (
  destination: Address,
  value: number,
  size: number,
) => unknown

const EINTR = koffi.os.errno.EINTR
const EAGAIN = koffi.os.errno.EAGAIN
const MAP_FAILED = 2n ** 64n - 1n

/** What to say when a call fails: a verb phrase (`map 4 pages of domain 3`), or a function that makes one. */
export type Action = string | (() => string)

function failure(action: Action): SystemError {
  const errno = koffi.errno()
  return new SystemError(typeof action === 'string' ? action : action(), errno)
}

/** ioctl(2). Returns the call's value (≥ 0); throws SystemError. `argument` is an address or an integer. */
export function ioctl(fd: number, request: number, argument: Address, action: Action): number {
  for (;;) {
    const result = ioctlFunction(fd, request, argument)
    if (result >= 0) return result
    if (koffi.errno() !== EINTR) throw failure(action)
  }
}

/** ioctl(2) on a thread of the pool, for calls that take long. The memory at `argument` must stay until then. */
export function ioctlInBackground(
  fd: number,
  request: number,
  argument: Address,
  action: Action,
): Promise<number> {
  return new Promise((resolve, reject) => {
    ioctlFunction.async(fd, request, argument, (error: unknown, result) => {
      // Careful: koffi restores the call's errno for the length of this callback only.
      if (error !== null) reject(error)
      else if (result < 0) reject(failure(action))
      else resolve(result)
    })
  })
}

export interface MmapArguments {
  readonly sizeBytes: number
  readonly protection: number
  readonly flags: number
  readonly fd: number
  readonly offset: number
}

/** mmap(2) at an address of the kernel's choice. Prefer `mapMemory()` of memory-mapping.ts. */
export function mmap({ sizeBytes, protection, flags, fd, offset }: MmapArguments, action: Action): Address {
  const address = mmapFunction(0, sizeBytes, protection, flags, fd, offset)
  if (typeof address !== 'number' || BigInt(address) === MAP_FAILED) throw failure(action)
  return address
}

/** munmap(2). */
export function munmap(address: Address, sizeBytes: number): void {
  if (munmapFunction(address, sizeBytes) !== 0) throw failure(`unmap ${sizeBytes} bytes`)
}

/** read(2): bytes read (0 at the end), or undefined where a non-blocking descriptor has nothing. */
export function read(fd: number, buffer: Address, sizeBytes: number, action: Action): number | undefined {
  return transfer(() => readFunction(fd, buffer, sizeBytes), action)
}

/** write(2): bytes written, or undefined where a non-blocking descriptor takes nothing now. */
export function write(fd: number, buffer: Address, sizeBytes: number, action: Action): number | undefined {
  return transfer(() => writeFunction(fd, buffer, sizeBytes), action)
}

/** pread(2) straight into memory at `buffer` (a mapping of a guest's pages, for example): bytes read. */
export function pread(
  fd: number,
  target: { readonly buffer: Address; readonly sizeBytes: number; readonly fileOffset: number },
  action: Action,
): number {
  const count = transfer(() => preadFunction(fd, target.buffer, target.sizeBytes, target.fileOffset), action)
  if (count === undefined) throw failure(action)
  return count
}

function transfer(call: () => number, action: Action): number | undefined {
  for (;;) {
    const count = call()
    if (count >= 0) return count
    const errno = koffi.errno()
    if (errno === EAGAIN) return undefined
    if (errno !== EINTR) throw failure(action)
  }
}

/** poll(2) over `count` struct pollfd at `entries`: how many have events; 0 on time-out or a signal. */
export function poll(entries: Address, count: number, timeoutMs: number): number {
  const ready = pollFunction(entries, count, timeoutMs)
  if (ready >= 0) return ready
  if (koffi.errno() === EINTR) return 0
  throw failure('wait for events')
}

/** eventfd(2): a new descriptor. Prefer `EventCounter` of event-counter.ts. */
export function eventfd(flags: number): number {
  const fd = eventfdFunction(0, flags)
  if (fd < 0) throw failure('create an eventfd')
  return fd
}

/** getsockopt(2). `value` and `size` are addresses of the option's memory and of its length (u32). */
export function getsockopt(
  fd: number,
  option: { readonly level: number; readonly name: number; readonly value: Address; readonly size: Address },
  action: Action,
): void {
  if (getsockoptFunction(fd, option.level, option.name, option.value, option.size) !== 0)
    throw failure(action)
}

/** memcpy(3). Careful: nothing checks these addresses. */
export function copyMemory(destination: Address, source: Address, sizeBytes: number): void {
  memcpyFunction(destination, source, sizeBytes)
}

/** memset(3). Careful: nothing checks this address. */
export function fillMemory(destination: Address, byte: number, sizeBytes: number): void {
  memsetFunction(destination, byte, sizeBytes)
}

/** An ArrayBuffer over memory that C owns. It must be detached before that memory goes away. */
export function viewMemory(address: Address, sizeBytes: number): ArrayBuffer {
  return koffi.view(address, sizeBytes)
}

/** Where an ArrayBuffer's bytes lie. The caller keeps the buffer alive. */
export function addressOf(buffer: ArrayBuffer): Address {
  return Number(koffi.address(buffer))
}
