// Turns a kernel file of any usual kind (vmlinux, bzImage, compressed vmlinux) into an uncompressed ELF file
// that a domain builder can copy from, with its parsed headers. Decompressed kernels are cached by content
// hash, because unpacking one takes longer than building a domain.

import { createHash } from 'node:crypto'
import { constants, existsSync } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { fileSource } from './byte-source.ts'
import { BZIMAGE_HEADER_BYTES, findPayload, isBzImage } from './bzimage.ts'
import { decompress, detectCompression } from './compression.ts'
import { type ElfImage, hasElfMagic, parseElf } from './elf.ts'
import { cachedKernelPath, storeKernel } from './kernel-cache.ts'
import { KernelError } from './kernel-error.ts'
import { readXenNotes, type XenNotes } from './xen-notes.ts'

export interface LoadKernelOptions {
  /** Where decompressed kernels are kept; made when missing. */
  readonly cacheDir: string
  readonly signal?: AbortSignal | undefined
}

export interface LoadedKernel {
  /** An uncompressed ELF file: the given path itself, or one in the cache. */
  readonly path: string
  readonly sizeBytes: number
  /** `plain`: it was an ELF file; `cached`: decompressed before; `unpacked`: decompressed by this call. */
  readonly origin: 'plain' | 'cached' | 'unpacked'
  readonly elf: ElfImage
  readonly notes: XenNotes
}

/** No kernel comes near it; a hostile payload would go on for ever. */
export const MAX_KERNEL_BYTES = 512 << 20

/**
 * Loads a kernel. Several calls, in one process or in many, may load the same one at once. Throws
 * `KernelError`, or the signal's reason.
 */
export async function loadKernel(path: string, options: LoadKernelOptions): Promise<LoadedKernel> {
  await using file = await openRegularFile(path)
  const sizeBytes = await sizeOf(file, path)
  const head = fileSource(file.fd, sizeBytes).read(0, Math.min(sizeBytes, BZIMAGE_HEADER_BYTES))
  if (hasElfMagic(head)) return await describe(path, 'plain')

  const image = await readWhole(file, sizeBytes, options.signal)
  const hash = createHash('sha256').update(image).digest('hex')
  return (await fromCache(hash, options.cacheDir)) ?? (await unpack(image, hash, options))
}

async function unpack(
  image: Uint8Array<ArrayBuffer>,
  hash: string,
  options: LoadKernelOptions,
): Promise<LoadedKernel> {
  const { payload, trailerBytes } = locatePayload(image)
  const compression = detectCompression(payload)
  if (compression === undefined) {
    throw new KernelError(
      'not-a-kernel',
      'Cannot use kernel image: it is neither an ELF file nor a bzImage nor compressed',
      {
        hint: 'A guest kernel is an x86-64 Linux bzImage (vmlinuz) or an uncompressed ELF file (vmlinux).',
      },
    )
  }
  // The kernel build appends the size to every payload but gzip's, which ends in it by itself; strict
  // decoders must not see it.
  const input =
    compression === 'gzip' ? payload : payload.subarray(0, Math.max(0, payload.length - trailerBytes))
  const chunks = decompress(input, compression, { limitBytes: MAX_KERNEL_BYTES, signal: options.signal })
  const path = await storeKernel({ cacheDir: options.cacheDir, hash }, chunks, (temporary) =>
    describe(temporary, 'unpacked'),
  )
  return await describe(path, 'unpacked')
}

/** The payload of a bzImage and the size of what trails it, or the whole of any other file. */
function locatePayload(image: Uint8Array<ArrayBuffer>): {
  payload: Uint8Array<ArrayBuffer>
  trailerBytes: number
} {
  if (!isBzImage(image)) return { payload: image, trailerBytes: 0 }
  const { offset, length } = findPayload(image, image.length)
  return { payload: image.subarray(offset, offset + length), trailerBytes: 4 }
}

async function fromCache(hash: string, cacheDir: string): Promise<LoadedKernel | undefined> {
  const path = cachedKernelPath(cacheDir, hash)
  if (!existsSync(path)) return undefined
  try {
    return await describe(path, 'cached')
  } catch {
    // Damaged on disk, or removed meanwhile: it is made anew.
    await rm(path, { force: true })
    return undefined
  }
}

async function describe(path: string, origin: LoadedKernel['origin']): Promise<LoadedKernel> {
  await using file = await openRegularFile(path)
  const sizeBytes = await sizeOf(file, path)
  const source = fileSource(file.fd, sizeBytes)
  const elf = parseElf(source)
  return { path, sizeBytes, origin, elf, notes: readXenNotes(source, elf) }
}

async function openRegularFile(path: string): Promise<FileHandle> {
  let file: FileHandle
  try {
    // Non-blocking: a FIFO in the kernel's place is refused instead of waited for.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new KernelError('unreadable', `Cannot read kernel image ${path}: ${reason}`, {
      cause,
      data: { path },
    })
  }
  if (!(await file.stat()).isFile()) {
    await file.close()
    throw new KernelError('unreadable', `Cannot read kernel image ${path}: it is not a regular file`, {
      data: { path },
    })
  }
  return file
}

async function sizeOf(file: FileHandle, path: string): Promise<number> {
  const { size } = await file.stat()
  if (size > MAX_KERNEL_BYTES) {
    throw new KernelError(
      'too-large',
      `Cannot use kernel image ${path}: it has ${size} bytes, the limit is ${MAX_KERNEL_BYTES}`,
    )
  }
  return size
}

async function readWhole(
  file: FileHandle,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(sizeBytes)
  for (let done = 0; done < sizeBytes; ) {
    signal?.throwIfAborted()
    const { bytesRead } = await file.read(bytes, done, sizeBytes - done, done)
    if (bytesRead === 0) {
      throw new KernelError(
        'unreadable',
        `Cannot read kernel image: it ends at byte ${done}, it had ${sizeBytes}`,
      )
    }
    done += bytesRead
  }
  return bytes
}
