// The content-addressed part of the store: `blobs/<algorithm>/<hex>` of an OCI layout (image-layout.md). What lies
// there was put there by us, complete and verified, so a file of the right size needs no second look.
//
// One download for each blob, however many ask for it: within this process by `SingleFlight`, and no other process has
// the store (store-lock.ts): everybody's pulls go through the one core host and its one image worker.

import { constants } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, readdir, rm, statfs } from 'node:fs/promises'
import path from 'node:path'
import { commitFile, syncFolder, temporaryName } from '../../durable-file.ts'
import {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  requireSameDigest,
} from '../digest.ts'
import { fromDiskError, hasCode, OciError, throwIfCancelled } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import { type FlightContext, type FlightOptions, SingleFlight } from '../single-flight.ts'
import { BlobFeed } from './blob-feed.ts'
import { BlobHold, BlobHolds, type HeldDuringSweep } from './blob-hold.ts'
import { BlobWriter } from './blob-writer.ts'
import { clearLeftovers, listParts, partPath } from './part-files.ts'

const ALGORITHMS: readonly DigestAlgorithm[] = ['sha256', 'sha512']
const READ_BYTES = 1024 * 1024
/** Names in the store are ours: a symbolic link there was not made by us and is not followed. */
const OPEN_TO_READ = constants.O_RDONLY | constants.O_NOFOLLOW

export interface StoredBlob {
  readonly digest: Digest
  readonly size: number
}

/** Writes a blob's bytes, those that `writer` does not have yet. `attempt` is 2 when what came first was wrong. */
export type FillBlob = (writer: BlobWriter, signal: AbortSignal, attempt: 1 | 2) => Promise<void>

export interface SweepOptions {
  readonly isWanted: (digest: Digest) => boolean
  readonly held: HeldDuringSweep
  /** Removes nothing, and tells what it would. */
  readonly dryRun?: boolean | undefined
}

export class BlobStore {
  readonly #folder: string
  readonly #flights = new SingleFlight<StoredBlob, number>()
  /** Blobs that come in just now. */
  readonly #incoming = new Map<Digest, BlobFeed>()
  /** Removals under way: who asks whether a blob is there waits for them. */
  readonly #removals = new Map<Digest, Promise<void>>()
  readonly holds = new BlobHolds()

  private constructor(folder: string) {
    this.#folder = folder
  }

  /** Opens the blobs of the layout in `folder`, and drops what a crash left, except downloads worth going on with. */
  static async open(folder: string): Promise<BlobStore> {
    const store = new BlobStore(folder)
    for (const algorithm of ALGORITHMS)
      await mkdir(path.join(folder, 'blobs', algorithm), { recursive: true, mode: 0o700 })
    await mkdir(store.#ingestFolder, { recursive: true, mode: 0o700 })
    await clearLeftovers(store.#ingestFolder, Date.now())
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
    // Careful: who holds a blob before asking can rely on the answer: a sweep that came first has ended by then.
    await this.#removals.get(digest)
    try {
      const status = await lstat(this.pathOf(digest))
      return status.isFile() && status.size === size
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  /** Reads a small document and checks it again. Throws `oci.not-found`, `oci.limit`, `oci.corrupt-store`. */
  async read(digest: Digest, what: string): Promise<Buffer> {
    await using file = await this.#open(digest, what)
    if ((await file.stat()).size > LIMITS.configBytes) {
      throw new OciError('oci.limit', `Cannot read ${what}: it is larger than ${LIMITS.configBytes} bytes`)
    }
    const bytes = await file.readFile()
    if (digestOf(bytes, digestAlgorithm(digest)) === digest) return bytes
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
    const temporary = this.temporaryPath('document')
    try {
      await using file = await open(temporary, 'wx', 0o600)
      await file.writeFile(bytes)
      await commitFile(file, temporary, this.pathOf(digest), 0o444)
    } catch (error) {
      await rm(temporary, { force: true })
      throw fromDiskError(`store ${what}`, error)
    }
    return blob
  }

  /**
   * Brings one blob in unless it is there: `fill` writes what earlier tries did not leave. Callers that want the same
   * digest at the same time share one run. Bytes that turn out wrong are dropped and fetched once more.
   * Reports the bytes so far. Throws `oci.digest-mismatch`, `oci.size-mismatch`, `oci.no-space`, and what `fill` throws.
   */
  async ingest(
    what: string,
    expected: StoredBlob,
    fill: FillBlob,
    options: FlightOptions<number> = {},
  ): Promise<StoredBlob> {
    const { digest } = expected
    return this.#flights.run(
      digest,
      `fetch ${what}`,
      async (flight) => {
        if (await this.has(expected)) return expected
        const feed = new BlobFeed(what, {
          part: partPath(this.#ingestFolder, digest),
          final: this.pathOf(digest),
        })
        this.#incoming.set(digest, feed)
        try {
          await this.#take(what, expected, { fill, feed, flight })
          return expected
        } catch (error) {
          // A full disk shows also where files are only opened.
          const explained = fromDiskError(`store ${what}`, error)
          feed.fail(explained)
          throw explained
        } finally {
          this.#incoming.delete(digest)
        }
      },
      options,
    )
  }

  /**
   * The bytes of a blob: of one that comes in just now as they come, not verified yet; of one that is there from its
   * file. Throws `oci.not-found` when it is neither, and what ends the download.
   */
  async *follow(digest: Digest, what: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const feed = this.#incoming.get(digest)
    if (feed !== undefined) return yield* feed.follow(signal)
    await using file = await this.#open(digest, what)
    for (let position = 0; ; ) {
      throwIfCancelled(signal, `read ${what}`)
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position)
      if (bytesRead === 0) return
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
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
    await using handle = await open(file, OPEN_TO_READ)
    const isSameKind = digestAlgorithm(actual.digest) === algorithm
    requireSameDigest(
      what,
      expected.digest,
      isSameKind ? actual.digest : await digestOfFile(handle, algorithm),
    )
    if (await this.has(expected)) return
    try {
      await commitFile(handle, file, this.pathOf(expected.digest), 0o444)
    } catch (error) {
      throw fromDiskError(`store ${what}`, error)
    }
  }

  /** Keeps blobs from being swept until the result is disposed. Hold a blob before asking whether it is there. */
  hold(): BlobHold {
    return new BlobHold(this.holds)
  }

  /** Bytes of a blob that an earlier try left. */
  async partBytes(digest: Digest): Promise<number> {
    return sum((await listParts(this.#ingestFolder, digest)).map(({ sizeBytes }) => sizeBytes))
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

  /** Every file that is named like a blob. A file of another name is not ours. */
  async *list(): AsyncGenerator<StoredBlob, void, void> {
    for (const algorithm of ALGORITHMS) {
      for (const name of await readdir(path.join(this.#folder, 'blobs', algorithm))) {
        const digest = `${algorithm}:${name}`
        if (!isDigest(digest)) continue
        const sizeBytes = await sizeOf(this.pathOf(digest))
        if (sizeBytes !== undefined) yield { digest, size: sizeBytes }
      }
    }
  }

  /** Names of files beside the blobs that are not named like one. */
  async strangers(): Promise<string[]> {
    const names: string[] = []
    for (const algorithm of ALGORITHMS) {
      const found = await readdir(path.join(this.#folder, 'blobs', algorithm))
      names.push(
        ...found
          .filter((name) => !isDigest(`${algorithm}:${name}`))
          .map((name) => `blobs/${algorithm}/${name}`),
      )
    }
    return names
  }

  /** Hashes a blob again; undefined when it is gone. */
  async digestNow(digest: Digest, signal?: AbortSignal): Promise<Digest | undefined> {
    try {
      await using file = await open(this.pathOf(digest), OPEN_TO_READ)
      return await digestOfFile(file, digestAlgorithm(digest), signal)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined
      // A link in a blob's place (ELOOP) has no content of ours.
      if (hasCode(error, 'ELOOP')) return digestOf(new Uint8Array(), digestAlgorithm(digest))
      throw error
    }
  }

  /** Removes one blob, whoever wants it. */
  async remove(digest: Digest): Promise<void> {
    await this.#remove(digest, async () => rm(this.pathOf(digest), { force: true, recursive: true }))
  }

  /** Removes every blob that is neither wanted nor held; returns the bytes that became free. */
  async sweep({ isWanted, held, dryRun = false }: SweepOptions): Promise<number> {
    let freedBytes = 0
    for await (const { digest, size } of this.list()) {
      if (isWanted(digest) || held.has(digest)) continue
      freedBytes += size
      if (!dryRun) await this.remove(digest)
    }
    if (dryRun) return freedBytes
    for (const algorithm of ALGORITHMS) await syncFolder(path.join(this.#folder, 'blobs', algorithm))
    return freedBytes
  }

  /** Removes what broken-off downloads left, except of those that go on just now; returns the bytes that became free. */
  async sweepParts({ dryRun = false }: { readonly dryRun?: boolean | undefined } = {}): Promise<number> {
    let freedBytes = 0
    for (const { digest, path: file, sizeBytes } of await listParts(this.#ingestFolder)) {
      if (this.#incoming.has(digest)) continue
      freedBytes += sizeBytes
      if (!dryRun) await this.#remove(digest, () => rm(file, { force: true }))
    }
    return freedBytes
  }

  async #take(
    what: string,
    { digest, size }: StoredBlob,
    { fill, feed, flight }: { fill: FillBlob; feed: BlobFeed; flight: FlightContext<number> },
  ): Promise<void> {
    // A sweep of leftovers may be about to remove this one's.
    await this.#removals.get(digest)
    const { signal, report } = flight
    await using writer = await BlobWriter.open({
      what,
      digest,
      size,
      folder: this.#ingestFolder,
      final: this.pathOf(digest),
      feed,
      signal,
      onProgress: report,
    })
    try {
      if (!writer.isComplete) await fill(writer, signal, 1)
      // Careful: without await the writer would be closed under the commit.
      return await writer.commit()
    } catch (error) {
      if (!hasCode(error, 'oci.digest-mismatch')) throw error
      await writer.restart()
      await fill(writer, signal, 2)
      return await writer.commit()
    }
  }

  async #remove(digest: Digest, remove: () => Promise<void>): Promise<void> {
    const removal = remove().finally(() => this.#removals.delete(digest))
    this.#removals.set(
      digest,
      removal.catch(() => {}),
    )
    await removal
  }

  async #open(digest: Digest, what: string): Promise<FileHandle> {
    try {
      return await open(this.pathOf(digest), OPEN_TO_READ)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      throw new OciError('oci.not-found', `Cannot read ${what}: ${digest} is not in the store`, {
        cause: error,
      })
    }
  }

  get #ingestFolder(): string {
    return path.join(this.#folder, 'ingest')
  }
}

async function digestOfFile(
  file: FileHandle,
  algorithm: DigestAlgorithm,
  signal?: AbortSignal,
): Promise<Digest> {
  const digester = new Digester(algorithm)
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let position = 0; ; ) {
    throwIfCancelled(signal, 'read a blob')
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES, position)
    if (bytesRead === 0) return digester.finish()
    digester.update(buffer.subarray(0, bytesRead))
    position += bytesRead
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await lstat(file)).size
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
