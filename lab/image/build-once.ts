// Builds a file or folder of the cache exactly once, even when several processes want it at the same moment,
// and so that a build killed halfway leaves nothing that a later one could take for finished.

import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'

export interface BuildOptions {
  /** Told once if another process holds the build, with its process id. */
  readonly onWait?: (processId: string) => void
  readonly signal?: AbortSignal | undefined
}

/**
 * Makes sure that `target` exists. `build` gets an empty folder for its temporary files and returns the path in it
 * that shall become the target.
 */
export async function buildOnce(
  target: string,
  build: (workFolder: string) => Promise<string>,
  options: BuildOptions = {},
): Promise<string> {
  if (existsSync(target)) return target
  const lock = await acquireLock(target, options)
  try {
    if (existsSync(target)) return target
    await mkdir(dirname(target), { recursive: true })
    const workFolder = await mkdtemp(join(dirname(target), `.build-${basename(target)}-`))
    try {
      await rename(await build(workFolder), target)
    } finally {
      await rm(workFolder, { recursive: true, force: true })
    }
    return target
  } finally {
    lock.close()
  }
}

/**
 * Waits until this process alone holds `target`. The lock is a listening socket in Linux's abstract namespace: the kernel lets go of it when its holder dies,
 * whatever killed it, and those who wait see their connection end. Connections get the holder's process id.
 */
export async function acquireLock(target: string, options: BuildOptions = {}): Promise<Server> {
  const address = `\0bulkhead-build-${createHash('sha256').update(target).digest('hex').slice(0, 32)}`
  let told = false
  for (;;) {
    options.signal?.throwIfAborted()
    const server = await listen(address)
    if (server) return server
    await holderGone(address, (processId) => {
      if (!told) options.onWait?.(processId)
      told = true
    })
  }
}

function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const connections = new Set<import('node:net').Socket>()
    const server = createServer((connection) => {
      connections.add(connection)
      connection.on('error', () => {})
      connection.on('close', () => connections.delete(connection))
      connection.write(String(process.pid))
    })
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    server.on('close', () => {})
    server.listen(address, () => {
      const close = server.close.bind(server)
      server.close = (callback) => {
        for (const connection of connections) connection.destroy()
        return close(callback)
      }
      resolve(server)
    })
  })
}

function holderGone(address: string, onHolder: (processId: string) => void): Promise<void> {
  return new Promise((resolve) => {
    const connection = connect(address)
    connection.on('data', (chunk) => onHolder(chunk.toString()))
    connection.on('error', () => {})
    connection.on('close', () => resolve())
  })
}
