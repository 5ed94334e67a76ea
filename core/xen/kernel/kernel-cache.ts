// A folder of decompressed kernels, named by the hash of the file they came from. A file appears there whole
// or not at all, so any number of processes may fill it at once.

import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Temporary files older than this were left by a process that died. */
const STALE_TEMPORARY_MS = 600_000
/**
 * A kernel takes some 60 MB. One that is removed while a builder has it mapped stays until that one lets go.
 */
const MAX_KERNELS = 8

/** The path a kernel has in the cache, whether it is there or not. */
export function cachedKernelPath(cacheDir: string, hash: string): string {
  return join(cacheDir, `${hash}.elf`)
}

/**
 * Writes the chunks to the cache and returns the path. `check` sees the complete temporary file first: when
 * it throws, or the chunks do, nothing is left behind.
 */
export async function storeKernel(
  target: { readonly cacheDir: string; readonly hash: string },
  chunks: AsyncIterable<Uint8Array>,
  check: (path: string) => Promise<unknown>,
): Promise<string> {
  await mkdir(target.cacheDir, { recursive: true, mode: 0o700 })
  await removeStaleTemporaries(target.cacheDir)
  const temporary = join(target.cacheDir, `.${target.hash}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await writeDurably(temporary, chunks)
    await check(temporary)
    const path = cachedKernelPath(target.cacheDir, target.hash)
    await rename(temporary, path)
    await syncDirectory(target.cacheDir)
    await removeOldKernels(target.cacheDir)
    return path
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

async function writeDurably(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  for await (const chunk of chunks) await file.writeFile(chunk)
  await file.sync()
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

/** Keeps those that were unpacked last. */
async function removeOldKernels(cacheDir: string): Promise<void> {
  const kernels: { path: string; mtimeMs: number }[] = []
  for (const name of await readdir(cacheDir)) {
    const path = join(cacheDir, name)
    const info = name.endsWith('.elf') ? await stat(path).catch(() => undefined) : undefined
    if (info !== undefined) kernels.push({ path, mtimeMs: info.mtimeMs })
  }
  kernels.sort((one, other) => other.mtimeMs - one.mtimeMs)
  for (const { path } of kernels.slice(MAX_KERNELS)) await rm(path, { force: true })
}

async function removeStaleTemporaries(cacheDir: string): Promise<void> {
  for (const name of await readdir(cacheDir)) {
    if (!name.endsWith('.tmp')) continue
    const path = join(cacheDir, name)
    const info = await stat(path).catch(() => undefined)
    if (info !== undefined && Date.now() - info.mtimeMs > STALE_TEMPORARY_MS) await rm(path, { force: true })
  }
}
