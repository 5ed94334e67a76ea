// A lock between processes that the kernel lets go of when its holder dies, whatever killed it: a listening socket
// in Linux's abstract namespace (unix(7)). No file is left behind, and those who wait see their connection end.

import { createHash } from 'node:crypto'
import { connect, createServer, type Socket } from 'node:net'

export interface LockOptions {
  /** Told once if another process holds the lock, with its process id. */
  readonly onWait?: (processId: string) => void
}

export class ProcessLock implements Disposable {
  readonly #release: () => void

  private constructor(release: () => void) {
    this.#release = release
  }

  /** Takes the lock called `name`, or returns undefined when another holder has it. */
  static tryAcquire(name: string): Promise<ProcessLock | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = new Set<Socket>()
      const server = createServer((connection) => {
        waiting.add(connection)
        connection.on('error', () => {})
        connection.on('close', () => waiting.delete(connection))
        connection.write(String(process.pid))
      })
      server.once('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EADDRINUSE') resolve(undefined)
        else reject(error)
      })
      const release = () => {
        server.close()
        for (const connection of waiting) connection.destroy()
      }
      server.listen(addressOf(name), () => resolve(new ProcessLock(release)))
    })
  }

  /** Takes the lock called `name`, waiting for as long as others hold it. */
  static async acquire(name: string, options: LockOptions = {}): Promise<ProcessLock> {
    let onHolder = options.onWait
    for (;;) {
      const lock = await ProcessLock.tryAcquire(name)
      if (lock) return lock
      await ProcessLock.whenFree(name, onHolder)
      onHolder = undefined
    }
  }

  /** Resolves when nobody holds the lock; `onHolder` gets the process id of who does. */
  static whenFree(name: string, onHolder?: (processId: string) => void): Promise<void> {
    return new Promise((resolve) => {
      const connection = connect(addressOf(name))
      connection.on('data', (chunk) => onHolder?.(chunk.toString()))
      connection.on('error', () => {})
      connection.on('close', () => resolve())
    })
  }

  release(): void {
    this.#release()
  }

  [Symbol.dispose](): void {
    this.#release()
  }
}

/** A leading zero byte puts a socket into the abstract namespace; names there have at most 107 bytes. */
function addressOf(name: string): string {
  return `\0bulkhead-lab-${createHash('sha256').update(name).digest('hex').slice(0, 40)}`
}
