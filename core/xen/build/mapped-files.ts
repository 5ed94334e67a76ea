// Files kept mapped from one build to the next: kernels and initrds that most guests share. Mapped pages are
// the page cache's own, so this costs dom0 no memory to speak of, and a build copies without a system call or
// page fault per page.
//
// Careful: a mapped file that is truncated kills the process that reads it. What is built from must therefore
// be replaced by renaming, never rewritten in place, as package managers and our own caches do.

import { constants, fstatSync } from 'node:fs'
import { type FileDescriptor, openFile } from '../../sys/file-descriptor.ts'
import { type MemoryMapping, mapMemory } from '../../sys/memory-mapping.ts'
import { BuildError } from './build-error.ts'

/** A mapped file in use; disposing gives it back. */
export interface FileLease extends Disposable {
  /** Changes whenever the file's content does. */
  readonly identity: string
  readonly sizeBytes: number
  readonly address: number
  readonly bytes: Uint8Array<ArrayBuffer>
}

interface Entry {
  readonly identity: string
  readonly mapping: MemoryMapping
  users: number
}

const MAX_FILE_BYTES = 2 ** 30

/** The mappings of one thread; the least recently used go when there are too many. */
export class MappedFiles implements Disposable {
  readonly #maxIdleFiles: number
  /** In the order of last use. */
  readonly #entries = new Map<string, Entry>()

  constructor(maxIdleFiles = 6) {
    this.#maxIdleFiles = maxIdleFiles
  }

  /** Maps a file, or finds it mapped already. Throws `build.invalid-request` for what cannot be read. */
  lease(path: string): FileLease {
    using file = openRegularFile(path)
    const { dev, ino, size, ctimeNs } = fstatSync(file.fd, { bigint: true })
    const identity = `${dev}:${ino}:${size}:${ctimeNs}`
    const entry = this.#entries.get(identity) ?? this.#map(file, path, identity, Number(size))
    entry.users++
    this.#entries.delete(identity)
    this.#entries.set(identity, entry)
    const release = () => this.#release(entry)
    return {
      identity,
      sizeBytes: entry.mapping.sizeBytes,
      address: entry.mapping.address,
      bytes: entry.mapping.bytes,
      [Symbol.dispose]: release,
    }
  }

  [Symbol.dispose](): void {
    for (const entry of this.#entries.values()) entry.mapping[Symbol.dispose]()
    this.#entries.clear()
  }

  #map(file: FileDescriptor, path: string, identity: string, sizeBytes: number): Entry {
    if (sizeBytes === 0 || sizeBytes > MAX_FILE_BYTES) {
      throw unusable(path, `it has ${sizeBytes} bytes (1 to ${MAX_FILE_BYTES} are possible)`)
    }
    const mapping = mapMemory({ fd: file.fd, sizeBytes, access: 'read', sharing: 'private' }, `map ${path}`)
    return { identity, mapping, users: 0 }
  }

  #release(entry: Entry): void {
    entry.users--
    const idle = [...this.#entries.values()].filter((candidate) => candidate.users === 0)
    for (const { identity, mapping } of idle.slice(0, Math.max(0, idle.length - this.#maxIdleFiles))) {
      this.#entries.delete(identity)
      mapping[Symbol.dispose]()
    }
  }
}

function openRegularFile(path: string): FileDescriptor {
  let file: FileDescriptor
  try {
    // Non-blocking: a FIFO is refused below instead of waited for.
    file = openFile(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw unusable(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
  if (fstatSync(file.fd).isFile()) return file
  file[Symbol.dispose]()
  throw unusable(path, 'it is not a regular file')
}

function unusable(path: string, reason: string, cause?: unknown): BuildError {
  return new BuildError('invalid-request', `Cannot build domain: ${path} cannot be used, ${reason}`, {
    cause,
    data: { path },
  })
}
