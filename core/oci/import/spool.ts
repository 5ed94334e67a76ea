// An archive comes as one stream of bytes, but its table of contents may stand at its end: it is first put into a file
// of the store, unpacked where it is compressed as a whole (`docker save | gzip`).

import { open, rm, stat } from 'node:fs/promises'
import { cancelled, fromDiskError, OciError, throwIfCancelled } from '../errors.ts'
import { COMPRESSION_MAGIC_BYTES, detectCompression } from '../layer/compression.ts'
import { openLayer } from '../layer/open-layer.ts'
import { LIMITS } from '../limits.ts'
import type { BlobStore } from '../store/blob-store.ts'

const ACTION = 'import the archive'

export interface SpoolOptions {
  readonly signal?: AbortSignal | undefined
  readonly onReceived?: ((bytes: number) => void) | undefined
}

/** A temporary file that disappears when disposed. */
export interface SpooledArchive extends AsyncDisposable {
  readonly path: string
  readonly sizeBytes: number
}

/** Takes all bytes of a stream into a file, as a plain tar archive. Throws `oci.limit`, `oci.no-space`, `oci.cancelled`. */
export async function spoolArchive(
  bytes: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
  { signal, onReceived }: SpoolOptions = {},
): Promise<SpooledArchive> {
  const received = await writeSpool(bytes, blobs, { signal, onReceived })
  try {
    const compression = detectCompression(await readHead(received.path), 'the archive')
    if (compression === 'none') return received
    const unpacked = await writeSpool(
      openLayer({ path: received.path, layerName: 'the archive', signal }),
      blobs,
      { signal },
    )
    await received[Symbol.asyncDispose]()
    return unpacked
  } catch (error) {
    await received[Symbol.asyncDispose]()
    throw error
  }
}

async function writeSpool(
  bytes: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
  { signal, onReceived }: SpoolOptions,
): Promise<SpooledArchive> {
  const path = blobs.temporaryPath('archive')
  const handle = await open(path, 'wx', 0o600)
  let sizeBytes = 0
  try {
    for await (const chunk of untilAborted(bytes, signal)) {
      sizeBytes += chunk.length
      if (sizeBytes > LIMITS.archiveBytes) {
        throw new OciError(
          'oci.limit',
          `Cannot import the archive: it is larger than ${LIMITS.archiveBytes} bytes`,
          {
            data: { which: 'archiveBytes' },
          },
        )
      }
      await handle.appendFile(chunk)
      onReceived?.(sizeBytes)
    }
  } catch (error) {
    await rm(path, { force: true })
    if (signal?.aborted === true) throw cancelled(ACTION, error)
    throw fromDiskError(ACTION, error)
  } finally {
    await handle.close()
  }
  return { path, sizeBytes, [Symbol.asyncDispose]: () => rm(path, { force: true }) }
}

/** Passes bytes on until the signal is aborted, also while none come. Throws `oci.cancelled`. */
async function* untilAborted(
  bytes: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  if (signal === undefined) return yield* bytes
  throwIfCancelled(signal, ACTION)
  const aborted = Promise.withResolvers<never>()
  // Nobody waits for it where the bytes end first.
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(cancelled(ACTION, signal.reason))
  signal.addEventListener('abort', abort, { once: true })
  const iterator = bytes[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted.promise])
      if (next.done === true) return
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', abort)
    // Careful: not awaited; it would wait for the bytes that do not come. The source is closed by whoever opened it.
    iterator.return?.().catch(() => {})
  }
}

async function readHead(path: string): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const { size } = await stat(path)
    const head = Buffer.alloc(Math.min(size, COMPRESSION_MAGIC_BYTES))
    await handle.read(head, 0, head.length, 0)
    return head
  } finally {
    await handle.close()
  }
}
