// Where an import's bytes come from: a file, standard input, or a folder that is packed on the way. The client opens
// them, as the user; the core host gets bytes.
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { CliError } from '../failure.ts'
import { listFolder, tarSizeBytes, writeTar } from './tar-writer.ts'

export interface ImportSource {
  readonly bytes: AsyncIterable<Uint8Array>
  /** How many there will be, where that is known. */
  readonly sizeBytes?: number
}

/** Opens `-`, a file or a folder. Throws `cli.file` where that cannot be an image. */
export async function openImportSource(
  path: string,
  stdin: Readable & { isTTY?: boolean },
): Promise<ImportSource> {
  if (path === '-') {
    if (stdin.isTTY)
      throw new CliError('cli.file', 'Cannot import from standard input: it is a terminal', {
        hint: 'Pipe an archive into it, or name a file.',
      })
    return { bytes: unpacked(stdin) }
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw cannotRead(path, error)
  })
  if (found.isDirectory()) return await openFolder(path)
  const magic = found.isFile() ? await firstBytes(path) : Buffer.alloc(0)
  const bytes = createReadStream(path, { highWaterMark: 262144 })
  if (compressionOf(magic) === undefined && found.isFile())
    return { bytes: readErrors(bytes, path), sizeBytes: found.size }
  return { bytes: readErrors(unpacked(bytes), path) }
}

async function openFolder(path: string): Promise<ImportSource> {
  const entries = await listFolder(path).catch((error: NodeJS.ErrnoException) => {
    throw error instanceof CliError ? error : cannotRead(path, error)
  })
  const names = new Set(entries.map(({ name }) => name))
  if (!names.has('index.json') && !names.has('manifest.json'))
    throw new CliError('cli.file', `Cannot import ${path}: it holds no image`, {
      hint: `A folder with an image has ${join(path, 'index.json')} (OCI layout) or ${join(path, 'manifest.json')} (docker).`,
    })
  return { bytes: writeTar(entries), sizeBytes: tarSizeBytes(entries) }
}

type Compression = 'gzip' | 'zstd' | 'xz' | 'bzip2'

/** By the first bytes: RFC 1952 §2.3.1, RFC 8878 §3.1.1, the xz format §2.1.1.1, bzip2's `BZh`. */
function compressionOf(bytes: Uint8Array): Compression | undefined {
  const hex = Buffer.from(bytes.subarray(0, 4)).toString('hex')
  if (hex.startsWith('1f8b')) return 'gzip'
  if (hex === '28b52ffd') return 'zstd'
  if (hex === 'fd377a58') return 'xz'
  if (hex.startsWith('425a68')) return 'bzip2'
  return undefined
}

/** The bytes of a stream, decompressed where they are compressed. */
async function* unpacked(source: Readable): AsyncGenerator<Uint8Array> {
  const iterator: AsyncIterator<Buffer> = source[Symbol.asyncIterator]()
  let head = Buffer.alloc(0)
  while (head.length < 4) {
    const { done, value } = await iterator.next()
    if (done) break
    head = Buffer.concat([head, value])
  }
  const rest = async function* (): AsyncGenerator<Uint8Array> {
    if (head.length > 0) yield head
    for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value
  }
  const compression = compressionOf(head)
  if (compression === undefined) return yield* rest()
  if (compression === 'xz' || compression === 'bzip2')
    throw new CliError('cli.file', `Cannot import an archive that is compressed with ${compression}`, {
      hint: `Decompress it on the way: ${compression} -dc FILE | bulkhead import -`,
    })
  const output = new PassThrough()
  const decompressor = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  const decompressing = pipeline(rest(), decompressor, output)
  decompressing.catch((error: Error) => output.destroy(error))
  yield* output
  await decompressing
}

async function* readErrors(bytes: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* bytes
  } catch (error) {
    throw error instanceof CliError ? error : cannotRead(path, error as NodeJS.ErrnoException)
  }
}

async function firstBytes(path: string): Promise<Uint8Array> {
  try {
    await using file = await open(path)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw cannotRead(path, error as NodeJS.ErrnoException)
  }
}

function cannotRead(path: string, error: NodeJS.ErrnoException): CliError {
  const reasons: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file or folder',
    EACCES: 'you may not read it',
  }
  return new CliError('cli.file', `Cannot import ${path}: ${reasons[error.code ?? ''] ?? error.message}`, {
    cause: error,
  })
}
