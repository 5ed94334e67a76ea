// poll(2) over a fixed, small set of descriptors. For worker threads only: waiting blocks the thread.
import { poll } from './libc.ts'
import { allocateNativeMemory, type NativeMemory } from './native-memory.ts'
import { i16, i32, structLayout } from './struct-layout.ts'

// poll.h
const POLLIN = 0x1
const POLLERR = 0x8
const POLLHUP = 0x10
const POLLNVAL = 0x20

const pollEntry = structLayout('struct pollfd', 8, { fd: i32(0), events: i16(4), returned: i16(6) })

export class PollSet {
  readonly #memory: NativeMemory
  readonly #entries: readonly ReturnType<typeof pollEntry.at>[]

  constructor(fds: readonly number[]) {
    this.#memory = allocateNativeMemory(fds.length * pollEntry.sizeBytes)
    this.#entries = fds.map((fd, index) => {
      const entry = pollEntry.at(this.#memory.view, index * pollEntry.sizeBytes)
      entry.fd = fd
      entry.events = POLLIN
      return entry
    })
  }

  /** Blocks until a descriptor is readable or broken, or the time is over (-1: no limit). */
  wait(timeoutMs: number): void {
    for (const entry of this.#entries) entry.returned = 0
    poll(this.#memory.address, this.#entries.length, timeoutMs)
  }

  /** After `wait()`: whether the descriptor at `index` can be read (an error counts: the read will tell). */
  isReady(index: number): boolean {
    return ((this.#entries[index]?.returned ?? 0) & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) !== 0
  }

  /** Stops (or resumes) waiting for the descriptor at `index`. */
  setEnabled(index: number, enabled: boolean): void {
    const entry = this.#entries[index]
    if (entry !== undefined) entry.events = enabled ? POLLIN : 0
  }
}
