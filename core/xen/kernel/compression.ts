// Recognises how a kernel or a module is compressed, and decompresses it in chunks with a limit on the
// result: the size that a file claims is never believed. Magic numbers: Linux lib/decompress.c.

import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { BulkheadError } from '../../errors.ts'
import { decompressLzma } from '../../sys/lzma.ts'
import { KernelError } from './kernel-error.ts'
import { decodeLz4Legacy } from './lz4-legacy.ts'

export type Compression = 'gzip' | 'xz' | 'zstd' | 'lz4' | 'lzma' | 'bzip2' | 'lzo'

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ['gzip', [0x1f, 0x8b]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f, 0x00]],
]

const CHUNK_BYTES = 1 << 20

/** The compression that the first bytes name, or undefined when they name none. */
export function detectCompression(bytes: Uint8Array): Compression | undefined {
  return MAGICS.find(([, magic]) => magic.every((byte, index) => bytes[index] === byte))?.[0]
}

export interface DecompressOptions {
  /** The most that may come out, in bytes. */
  readonly limitBytes: number
  readonly signal?: AbortSignal | undefined
}

/**
 * Yields the decompressed bytes in chunks. Throws `kernel.decompression-failed` for damaged data,
 * `kernel.too-large` past the limit, `kernel.unsupported-compression` for bzip2 and lzo.
 */
export async function* decompress(
  input: Uint8Array<ArrayBuffer>,
  compression: Compression,
  options: DecompressOptions,
): AsyncGenerator<Uint8Array> {
  let total = 0
  try {
    for await (const chunk of chunksOf(input, compression, options.signal)) {
      options.signal?.throwIfAborted()
      total += chunk.length
      if (total > options.limitBytes) {
        throw new KernelError(
          'too-large',
          `Cannot decompress ${compression} data: more than ${options.limitBytes} bytes come out of ${input.length}`,
        )
      }
      yield chunk
    }
  } catch (error) {
    if (error instanceof BulkheadError && error.code !== 'lzma.failed') throw error
    options.signal?.throwIfAborted()
    throw new KernelError(
      'decompression-failed',
      error instanceof BulkheadError
        ? error.message
        : `Cannot decompress ${compression} data: ${String(error)}`,
      { cause: error },
    )
  }
}

function chunksOf(
  input: Uint8Array<ArrayBuffer>,
  compression: Compression,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  switch (compression) {
    case 'gzip':
      return throughStream(createGunzip({ chunkSize: CHUNK_BYTES }), input)
    case 'zstd':
      // Linux is compressed with zstd -22 --ultra: windows of 128 MiB (2^27).
      return throughStream(
        createZstdDecompress({ chunkSize: CHUNK_BYTES, params: { [constants.ZSTD_d_windowLogMax]: 27 } }),
        input,
      )
    case 'xz':
    case 'lzma':
      return decompressLzma(input, { format: compression, signal })
    case 'lz4':
      return decodeLz4Legacy(input)
    case 'bzip2':
    case 'lzo':
      throw new KernelError(
        'unsupported-compression',
        `Cannot decompress kernel image: ${compression} is not supported`,
        {
          hint: 'Decompress it first with extract-vmlinux from the Linux source, and use the vmlinux.',
        },
      )
  }
}

/** Leaving the loop early destroys the stream. */
function throughStream(
  stream: NodeJS.ReadWriteStream & AsyncIterable<Buffer>,
  input: Uint8Array,
): AsyncIterable<Uint8Array> {
  stream.end(input)
  return stream
}
