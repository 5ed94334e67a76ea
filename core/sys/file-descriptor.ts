// An open file descriptor as a disposable: closed once, never used after.
import { closeSync, openSync } from 'node:fs'

export class FileDescriptor implements Disposable {
  #fd: number | undefined

  constructor(fd: number) {
    this.#fd = fd
  }

  /** The number, for as long as it is open. */
  get fd(): number {
    if (this.#fd === undefined) throw new Error('The file descriptor is closed')
    return this.#fd
  }

  get isOpen(): boolean {
    return this.#fd !== undefined
  }

  [Symbol.dispose](): void {
    if (this.#fd === undefined) return
    const fd = this.#fd
    this.#fd = undefined
    closeSync(fd)
  }
}

/** Opens a file (close-on-exec is set by Node). Throws Node's error with `code` ENOENT, EACCES, … */
export function openFile(path: string, flags: number | string): FileDescriptor {
  return new FileDescriptor(openSync(path, flags))
}
