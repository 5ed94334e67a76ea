// An eventfd(2): how one thread wakes another that waits in poll(2). It can be created in one thread and
// signalled from another by number, since threads share descriptors.
import { writeSync } from 'node:fs'
import { FileDescriptor } from './file-descriptor.ts'
import { eventfd, read } from './libc.ts'
import { allocateNativeMemory } from './native-memory.ts'

// sys/eventfd.h
const EFD_CLOEXEC = 0o2000000
const EFD_NONBLOCK = 0o4000

const one = new Uint8Array(new BigUint64Array([1n]).buffer)

/** Wakes whoever polls this eventfd. May be called from any thread, also while the process exits. */
export function signalEvent(fd: number): void {
  writeSync(fd, one)
}

export class EventCounter implements Disposable {
  readonly #descriptor = new FileDescriptor(eventfd(EFD_CLOEXEC | EFD_NONBLOCK))
  readonly #value = allocateNativeMemory(8)

  get fd(): number {
    return this.#descriptor.fd
  }

  signal(): void {
    signalEvent(this.fd)
  }

  /** Takes all signals since the last call: how many there were (0 for none). */
  drain(): number {
    return drainEvent(this.fd, this.#value.address) ? Number(this.#value.view.getBigUint64(0, true)) : 0
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]()
  }
}

/** Resets an eventfd by number; `scratch` is the address of 8 bytes. True when it had been signalled. */
export function drainEvent(fd: number, scratch: number): boolean {
  return read(fd, scratch, 8, 'read an eventfd') !== undefined
}
