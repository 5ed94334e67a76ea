// Memory that hypercalls may point to. Xen follows such pointers through the current page tables and faults
// nothing in, so ordinary memory will not do; pages mapped from /dev/xen/hypercall are allocated at once and
// never move (Linux, drivers/xen/privcmd-buf.c). One mapping serves all calls: a scope hands out pieces in
// order and gives them all back when it is disposed.
import { type MemoryMapping, mapMemory } from '../sys/memory-mapping.ts'

export interface HypercallBuffer {
  readonly address: number
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
}

// A cache line: keeps pieces apart and satisfies every alignment.
const ALIGNMENT_BYTES = 64

export class HypercallArena implements Disposable {
  readonly #mapping: MemoryMapping
  #usedBytes = 0

  /** `fd` is an open /dev/xen/hypercall; `sizeBytes` a multiple of the page size. */
  constructor(fd: number, sizeBytes: number) {
    this.#mapping = mapMemory({ fd, sizeBytes }, `allocate ${sizeBytes} bytes for hypercalls`)
  }

  get sizeBytes(): number {
    return this.#mapping.sizeBytes
  }

  /** Careful: scopes end in reverse order and must not outlive an `await`. */
  scope(): ArenaScope {
    return new ArenaScope(this, this.#usedBytes)
  }

  /** Used by ArenaScope. */
  take(sizeBytes: number): HypercallBuffer {
    const start = this.#usedBytes
    const end = start + Math.ceil(sizeBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    if (end > this.#mapping.sizeBytes) {
      throw new RangeError(
        `A hypercall needs ${sizeBytes} bytes, ${this.#mapping.sizeBytes - start} are left`,
      )
    }
    this.#usedBytes = end
    const { buffer } = this.#mapping
    const bytes = new Uint8Array(buffer, start, sizeBytes).fill(0)
    return { address: this.#mapping.address + start, bytes, view: new DataView(buffer, start, sizeBytes) }
  }

  /** Used by ArenaScope. */
  releaseTo(usedBytes: number): void {
    this.#usedBytes = usedBytes
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]()
  }
}

/** Buffers for one hypercall: `using scope = arena.scope()`. */
export class ArenaScope implements Disposable {
  readonly #arena: HypercallArena
  readonly #start: number

  constructor(arena: HypercallArena, start: number) {
    this.#arena = arena
    this.#start = start
  }

  /** Zeroed memory. Throws RangeError when the arena is full. */
  allocate(sizeBytes: number): HypercallBuffer {
    return this.#arena.take(sizeBytes)
  }

  /** A copy of `source`. */
  place(source: Uint8Array): HypercallBuffer {
    const buffer = this.#arena.take(source.length)
    buffer.bytes.set(source)
    return buffer
  }

  [Symbol.dispose](): void {
    this.#arena.releaseTo(this.#start)
  }
}
