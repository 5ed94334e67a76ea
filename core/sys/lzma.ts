// xz and lzma decompression through liblzma.so.5, because Node has neither and Debian's kernels and Fedora's
// modules are compressed with them. Source: xz src/liblzma/api/lzma/base.h (lzma_stream) and container.h.

import koffi, { type KoffiFunc, type LibraryHandle } from 'koffi'
import { BulkheadError } from '../errors.ts'
import { allocateNativeMemory } from './native-memory.ts'
import { size, structLayout } from './struct-layout.ts'

export type LzmaFormat = 'xz' | 'lzma'

export interface LzmaOptions {
  readonly format: LzmaFormat
  readonly signal?: AbortSignal | undefined
}

const lzmaStream = structLayout('lzma_stream', 136, {
  nextIn: size(0),
  availableIn: size(8),
  nextOut: size(24),
  availableOut: size(32),
})

const LZMA_OK = 0
const LZMA_STREAM_END = 1
const LZMA_RUN = 0
const LZMA_FINISH = 3
/** Linux is compressed with dictionaries of up to 128 MiB (scripts/xz_wrap.sh). */
const MEMORY_LIMIT_BYTES = 256 << 20
const OUTPUT_CHUNK_BYTES = 4 << 20

const RESULT_NAMES: Readonly<Record<number, string>> = {
  5: 'out of memory',
  6: `the dictionary needs more than ${MEMORY_LIMIT_BYTES} bytes`,
  7: 'the format is not recognised',
  8: 'unsupported options',
  9: 'the data is corrupt',
  10: 'the data ends too early',
}

/**
 * Decompresses one stream, yielding chunks of up to 4 MiB as they come; bytes after the end of the stream are
 * left alone. The work runs on a thread of the pool. Throws `lzma.failed`.
 */
export async function* decompressLzma(
  input: Uint8Array<ArrayBuffer>,
  options: LzmaOptions,
): AsyncGenerator<Uint8Array> {
  const library = liblzma()
  // A copy at a fixed address, because the library reads it between calls.
  const source = allocateNativeMemory(input.length)
  source.bytes.set(input)
  const output = allocateNativeMemory(OUTPUT_CHUNK_BYTES)
  const memory = allocateNativeMemory(lzmaStream.sizeBytes)
  const stream = lzmaStream.at(memory.view)
  stream.nextIn = source.address
  stream.availableIn = input.length

  const opened =
    options.format === 'xz'
      ? library.openXz(memory.address, MEMORY_LIMIT_BYTES, 0)
      : library.openAlone(memory.address, MEMORY_LIMIT_BYTES)
  if (opened !== LZMA_OK) throw failure(options.format, opened)
  try {
    for (;;) {
      options.signal?.throwIfAborted()
      stream.nextOut = output.address
      stream.availableOut = OUTPUT_CHUNK_BYTES
      const result = await library.run(memory.address, stream.availableIn === 0 ? LZMA_FINISH : LZMA_RUN)
      if (result !== LZMA_OK && result !== LZMA_STREAM_END) throw failure(options.format, result)
      const produced = OUTPUT_CHUNK_BYTES - stream.availableOut
      if (produced > 0) yield output.bytes.slice(0, produced)
      if (result === LZMA_STREAM_END) return
    }
  } finally {
    library.close(memory.address)
  }
}

interface Liblzma {
  openXz(stream: number, memoryLimitBytes: number, flags: number): number
  openAlone(stream: number, memoryLimitBytes: number): number
  run(stream: number, action: number): Promise<number>
  close(stream: number): void
}

let loaded: Liblzma | undefined

/** Loaded on first use: most machines that run Bulkhead never meet an xz kernel without a cached copy. */
function liblzma(): Liblzma {
  if (loaded !== undefined) return loaded
  const library = openLibrary()
  const code: KoffiFunc<(stream: number, action: number) => number> = library.func(
    'int lzma_code(uintptr_t stream, int action)',
  )
  loaded = {
    openXz: library.func('int lzma_stream_decoder(uintptr_t stream, uint64_t memlimit, uint32_t flags)'),
    openAlone: library.func('int lzma_alone_decoder(uintptr_t stream, uint64_t memlimit)'),
    run: (stream, action) =>
      new Promise((resolve, reject) => {
        code.async(stream, action, (error: unknown, result) => {
          if (error !== null) reject(error)
          else resolve(result)
        })
      }),
    close: library.func('void lzma_end(uintptr_t stream)'),
  }
  return loaded
}

function openLibrary(): LibraryHandle {
  try {
    return koffi.load('liblzma.so.5')
  } catch (cause) {
    throw new BulkheadError('lzma.unavailable', 'Cannot decompress xz data: liblzma.so.5 cannot be loaded', {
      hint: 'Install the package that has it: liblzma5 on Debian and Ubuntu, xz-libs on Fedora.',
      cause,
    })
  }
}

function failure(format: LzmaFormat, result: number): BulkheadError {
  return new BulkheadError(
    'lzma.failed',
    `Cannot decompress ${format} data: ${RESULT_NAMES[result] ?? `liblzma said ${result}`}`,
    {
      data: { result },
    },
  )
}
