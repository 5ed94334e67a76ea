// Kernel modules as the guest's loader needs them: plain ELF, whatever the distribution compresses them with
// (.ko of Debian, .ko.xz of Fedora, .ko.zst of Ubuntu and Arch, .ko.gz of Alpine).

import { decompress, detectCompression } from './compression.ts'
import { hasElfMagic } from './elf.ts'
import { KernelError } from './kernel-error.ts'

/** The largest module of any distribution is some 10 MiB; nothing honest comes near. */
const MAX_MODULE_BYTES = 64 << 20

/** The module's ELF bytes; the compression is told by content, not by name. Throws `KernelError`. */
export async function decompressModule(
  bytes: Uint8Array<ArrayBuffer>,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (hasElfMagic(bytes)) return bytes
  const compression = detectCompression(bytes)
  if (compression === undefined) {
    throw new KernelError('malformed', 'Cannot use kernel module: it is neither an ELF file nor compressed')
  }
  const chunks = await Array.fromAsync(
    decompress(bytes, compression, { limitBytes: MAX_MODULE_BYTES, signal }),
  )
  const module = Buffer.concat(chunks)
  if (!hasElfMagic(module)) {
    throw new KernelError(
      'malformed',
      `Cannot use kernel module: the ${compression} data in it is not an ELF file`,
    )
  }
  return module
}
