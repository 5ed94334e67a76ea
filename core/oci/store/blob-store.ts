// The content-addressed part of the store: `blobs/<algorithm>/<hex>` of an OCI layout (image-layout.md). What lies
// there was put there by us, complete and verified, so a file of the right size needs no second look.

import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readFile, rm, stat, statfs } from 'node:fs/promises'
import path from 'node:path'
import { commitFile, syncFolder, temporaryName } from '../../durable-file.ts'
import {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestFromHex,
  digestHex,
  digestOf,
  isDigest,
  requireSameDigest,
} from '../digest.ts'
import { fromDiskError, hasCode, OciError } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type FlightOptions, SingleFlight } from '../single-flight.ts'
import { BlobHold } from './blob-hold.ts'
import { BlobWriter, type ExpectedBlob } from './blob-writer.ts'

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512']

export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
}

export class BlobStore {
  readonly #folder: string
  readonly #flights = new SingleFlight<StoredBlob, number>()
  /** Blobs that work under way needs, though no reference leads to them yet: how many need each. */
  readonly #held = new Map<Digest, number>()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Opens the blobs of the layout in `folder`, and drops what a crash left half written. */
  static async open(folder: string): Promise<BlobStore> {
    const store = new BlobStore(folder)
    await rm(store.#ingestFolder, { recursive: true, force: true })
    await mkdir(store.#ingestFolder, { mode: 0o700 })
    for (const algorithm of ALGORITHMS)
      await mkdir(path.join(folder, 'blobs', algorithm), { recursive: true })
    return store
  }

  /** Where the blob of a digest is, or would be. */
  pathOf(digest: Digest): string {
    return path.join(this.#folder, 'blobs', digestAlgorithm(digest), digestHex(digest))
  }

  /** A name for a file that is needed for a while and not kept. */
  temporaryPath(purpose: string): string {
    return temporaryName(path.join(this.#ingestFolder, purpose))
  }

  /** Whether the blob is there, with exactly this size. */
  async has({ digest, size }: StoredBlob): Promise<boolean> {
    try {
      const status = await stat(this.pathOf(digest))
      return status.isFile() && status.size === size
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Reads a small document and checks it again. Throws `oci.not-found`, `oci.limit`, `oci.corrupt-store`. */
  async read(digest: Digest, what: string): Promise<Buffer> {
    const file = this.pathOf(digest)
    try {
      if ((await stat(file)).size > LIMITS.configBytes) {
        throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${LIMITS.configBytes} bytes`)
      }
      const bytes = await readFile(file)
      if (digestOf(bytes, digestAlgorithm(digest)) === digest) return bytes
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      throw new OciError('oci.not-found', `Cannot read ${what}: ${digest} is not in the store`, {
        cause: error,
      })
    }
    throw new OciError('oci.corrupt-store', `Cannot read ${what}: the file of ${digest} has been changed`, {
      hint: 'Remove the image and fetch it again.',
    })
  }

  /** Stores a document that is in memory. Throws `oci.digest-mismatch` when it is not what `expected` says. */
  async put(bytes: Uint8Array, what: string, expected?: Digest): Promise<StoredBlob> {
    const digest = digestOf(bytes, expected === undefined ? 'sha256' : digestAlgorithm(expected))
    if (expected !== undefined) requireSameDigest(what, expected, digest)
    const blob = { digest, size: bytes.length }
    if (await this.has(blob)) return blob
    return this.take(what, blob, async (writer) => writer.write(bytes))
  }

  /**
   * Brings one blob in unless it is there: `fill` writes its bytes. Callers that want the same digest at the same
   * time share one run. Reports the bytes so far.
   */
  async ingest(
    what: string,
    expected: StoredBlob,
    fill: (writer: BlobWriter, signal: AbortSignal) => Promise<void>,
    options: FlightOptions<number> = {},
  ): Promise<StoredBlob> {
    return this.#flights.run(
      expected.digest,
      `fetch ${what}`,
      async ({ signal, report }) => {
        if (await this.has(expected)) return expected
        return this.take(what, expected, (writer) => fill(writer, signal), report)
      },
      options,
    )
  }

  /** Takes bytes whose digest need not be known before; `onProgress` is told how many so far. */
  async take(
    what: string,
    expected: ExpectedBlob,
    fill: (writer: BlobWriter) => Promise<void>,
    onProgress?: (sizeBytes: number) => void,
  ): Promise<StoredBlob> {
    const places = { temporary: this.temporaryPath('blob'), final: (digest: Digest) => this.pathOf(digest) }
    await using writer = await BlobWriter.open(what, expected, places, onProgress)
    await fill(writer)
    // Careful: without await the writer would be closed under the commit.
    return await writer.commit()
  }

  /**
   * Takes over a complete file beside the blobs: it is moved, not copied. `actual` is what its bytes were seen to be.
   * Throws `oci.size-mismatch`, `oci.digest-mismatch`.
   */
  async adopt(what: string, file: string, actual: StoredBlob, expected: StoredBlob): Promise<void> {
    if (actual.size !== expected.size) {
      throw new OciError(
        'oci.size-mismatch',
        `Cannot accept ${what}: it has ${actual.size} bytes, not ${expected.size}`,
      )
    }
    const algorithm = digestAlgorithm(expected.digest)
    const isSameKind = digestAlgorithm(actual.digest) === algorithm
    requireSameDigest(what, expected.digest, isSameKind ? actual.digest : await digestOfFile(file, algorithm))
    if (await this.has(expected)) return
    const handle = await open(file, 'r')
    try {
      await commitFile(handle, file, this.pathOf(expected.digest), 0o444)
    } catch (error) {
      throw fromDiskError(`store ${what}`, error)
    } finally {
      await handle.close()
    }
  }

  /** Keeps blobs from being swept until the result is disposed. */
  hold(): BlobHold {
    return new BlobHold(this.#held)
  }

  /** Throws `oci.no-space` unless so many bytes fit on the disk. */
  async requireSpace(neededBytes: number, action: string): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder)
    const freeBytes = bavail * bsize
    if (freeBytes >= neededBytes) return
    const inMiB = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`
    throw new OciError(
      'oci.no-space',
      `Cannot ${action}: ${inMiB(neededBytes)} needed, ${inMiB(freeBytes)} free on the disk`,
      {
        hint: 'Free some space, or remove images that are no longer needed.',
        data: { neededBytes, freeBytes },
      },
    )
  }

  /** Removes every blob that is neither wanted nor held; returns the bytes that became free. */
  async sweep(isWanted: (digest: Digest) => boolean): Promise<number> {
    let freedBytes = 0
    for (const algorithm of ALGORITHMS) {
      const folder = path.join(this.#folder, 'blobs', algorithm)
      for (const name of await readdir(folder)) {
        const text = `${algorithm}:${name}`
        // Careful: a file that is not named like a blob is not ours to remove.
        if (!isDigest(text)) continue
        const digest = digestFromHex(algorithm, name)
        if (isWanted(digest) || this.#held.has(digest)) continue
        freedBytes += (await stat(path.join(folder, name))).size
        await rm(path.join(folder, name))
      }
      await syncFolder(folder)
    }
    return freedBytes
  }

  get #ingestFolder(): string {
    return path.join(this.#folder, 'ingest')
  }
}

async function digestOfFile(file: string, algorithm: DigestAlgorithm): Promise<Digest> {
  const digester = new Digester(algorithm)
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 })) digester.update(chunk)
  return digester.finish()
}
