// A mapping made by mmap(2), as a disposable. Disposing detaches its ArrayBuffer first: a forgotten view
// then has length 0 and reads undefined instead of crashing the process.
import { type Action, type Address, mmap, munmap, viewMemory } from './libc.ts'

// sys/mman.h (Linux, asm-generic/mman-common.h)
const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 1
const MAP_PRIVATE = 2

export interface MappingOptions {
  readonly fd: number
  readonly sizeBytes: number
  /** What the device calls an offset; 0 for most. */
  readonly offset?: number
  readonly access?: 'read' | 'read-write'
  /** `private` for reading a file; devices need `shared` (the default). */
  readonly sharing?: 'shared' | 'private'
}

/** Mapped memory. Every view of it is dead once it is disposed. */
export class MemoryMapping implements Disposable {
  readonly address: Address
  readonly sizeBytes: number
  #isUnmapped = false
  #buffer: ArrayBuffer | undefined

  constructor(address: Address, sizeBytes: number) {
    this.address = address
    this.sizeBytes = sizeBytes
  }

  /** The mapped bytes. Atomics work on typed arrays over it (32-bit and wider). */
  get buffer(): ArrayBuffer {
    if (this.#isUnmapped) throw new Error('The memory is unmapped')
    this.#buffer ??= viewMemory(this.address, this.sizeBytes)
    return this.#buffer
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.buffer)
  }

  get view(): DataView<ArrayBuffer> {
    return new DataView(this.buffer)
  }

  get isUnmapped(): boolean {
    return this.#isUnmapped
  }

  /** Unmaps the memory; a second call does nothing. */
  [Symbol.dispose](): void {
    if (this.#isUnmapped) return
    this.#isUnmapped = true
    this.#buffer?.transfer(0)
    munmap(this.address, this.sizeBytes)
  }
}

/** mmap(2) of a file or a device. Throws SystemError; `action` says what failed (`map the hypercall buffer`). */
export function mapMemory(options: MappingOptions, action: Action): MemoryMapping {
  const address = mmap(
    {
      sizeBytes: options.sizeBytes,
      protection: options.access === 'read' ? PROT_READ : PROT_READ | PROT_WRITE,
      flags: options.sharing === 'private' ? MAP_PRIVATE : MAP_SHARED,
      fd: options.fd,
      offset: options.offset ?? 0,
    },
    action,
  )
  return new MemoryMapping(address, options.sizeBytes)
}
