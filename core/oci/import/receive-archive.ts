// Takes an archive in as one stream of bytes. What a member is, the archive may say only at its end, so each is hashed and
// kept as it comes: small ones in memory, others in files of the store's temporary folder.

import { mkdir, open, rm } from 'node:fs/promises'
import path from 'node:path'
import { cancelled, fromDiskError, hasCode, OciError } from '../errors.ts'
import { COMPRESSION_MAGIC_BYTES, detectCompression } from '../layer/compression.ts'
import { openLayer } from '../layer/open-layer.ts'
import { TarParser } from '../layer/tar-parser.ts'
import { LIMITS } from '../limits.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { peek, untilAborted } from './byte-source.ts'
import { MemberReceiver } from './member-receiver.ts'
import { ReceivedArchive } from './received-archive.ts'

export interface ReceiveOptions {
  readonly signal?: AbortSignal | undefined
  /** Told the bytes of the stream so far. */
  readonly onReceived?: ((bytes: number) => void) | undefined
}

const ACTION = 'import the archive'
/** An image archive has short names and few of them; a layer may have many more. */
const NAMES_BYTES = 16 * 1024 * 1024

/**
 * Receives a tar archive, which may be compressed as a whole (`docker save | gzip`).
 * Throws `oci.bad-archive`, `oci.unsupported-media`, `oci.limit`, `oci.no-space`, `oci.cancelled`.
 */
export async function receiveArchive(
  bytes: AsyncIterable<Uint8Array>,
  blobs: BlobStore,
  { signal, onReceived }: ReceiveOptions = {},
): Promise<ReceivedArchive> {
  const folder = blobs.temporaryPath('archive')
  await mkdir(folder, { mode: 0o700 })
  try {
    const counted = countBytes(untilAborted(bytes, signal, ACTION), onReceived)
    const { head, all } = await peek(counted, COMPRESSION_MAGIC_BYTES)
    if (detectCompression(head, 'the archive') === 'none') return await readMembers(all, folder)
    // The decoder reads files; the packed archive is the smaller part of what comes.
    const packed = path.join(folder, 'packed')
    await writeStream(all, packed)
    const archive = await readMembers(openLayer({ path: packed, layerName: 'the archive', signal }), folder)
    await rm(packed)
    return archive
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    if (signal?.aborted === true) throw cancelled(ACTION, error)
    throw fromDiskError(ACTION, asArchiveError(error))
  }
}

async function readMembers(bytes: AsyncIterable<Uint8Array>, folder: string): Promise<ReceivedArchive> {
  await using receiver = new MemberReceiver(folder)
  const parser = new TarParser('the archive', receiver, NAMES_BYTES)
  for await (const chunk of bytes) {
    parser.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length))
    // The parser hands pieces out at once; they are written before the next bytes are taken.
    await receiver.flush()
  }
  parser.finish()
  await receiver.flush()
  return new ReceivedArchive(folder, receiver.files, receiver.links)
}

async function* countBytes(
  bytes: AsyncIterable<Uint8Array>,
  onReceived: ((bytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array, void, void> {
  let sizeBytes = 0
  for await (const chunk of bytes) {
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
    yield chunk
    onReceived?.(sizeBytes)
  }
}

async function writeStream(bytes: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    for await (const chunk of bytes) await handle.appendFile(chunk)
  } finally {
    await handle.close()
  }
}

/** The tar parser speaks of layers; an archive that is no tar file at all deserves a hint. */
function asArchiveError(error: unknown): unknown {
  if (!(error instanceof OciError) || !hasCode(error, 'oci.corrupt-layer')) return error
  return new OciError('oci.bad-archive', error.message, {
    hint: 'An image archive is made by "docker save", "podman save" or "skopeo copy … oci-archive:FILE".',
    data: error.data,
    cause: error,
  })
}
