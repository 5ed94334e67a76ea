// The content-addressed part of the store: `blobs/<algorithm>/<hex>` of an OCI layout (image-layout.md). What lies
// there was put there by us, complete and verified, so a file of the right size needs no second look.
//
// One download for each blob, however many ask for it: within this process by `BlobIntake`, and no other process has the
// store (store-lock.ts): everybody's pulls go through the one core host and its one image worker.

import { open, rm } from 'node:fs/promises'
import path from 'node:path'
import { commitFile, temporaryName } from '../../durable-file.ts'
import { type Digest, digestAlgorithm, digestOf, requireSameDigest } from '../digest.ts'
import { fromDiskError, OciError, throwIfCancelled } from '../errors.ts'
import { LIMITS } from '../limits.ts'
import type { FlightOptions } from '../single-flight.ts'
import { BlobFiles, OPEN_TO_READ, READ_BYTES, requireSameBlob, type StoredBlob } from './blob-files.ts'
import { BlobHold, BlobHolds, type HeldDuringSweep } from './blob-hold.ts'
import { BlobIntake, type FillBlob } from './blob-intake.ts'
import { requireSpace } from './free-space.ts'
import { listParts } from './part-files.ts'

export interface SweepOptions {
  readonly isWanted: (digest: Digest) => boolean
  readonly held: HeldDuringSweep
  /** Removes nothing, and tells what it would. */
  readonly dryRun?: boolean | undefined
}

export class BlobStore {
  readonly #folder: string
  readonly #files: BlobFiles
  readonly #intake: BlobIntake
  /** Removals under way: who asks whether a blob is there waits for them. */
  readonly #removals: Map<Digest, Promise<void>>
  readonly holds = new BlobHolds()

  private constructor(
    folder: string,
    parts: { files: BlobFiles; intake: BlobIntake; removals: Map<Digest, Promise<void>> },
  ) {
    this.#folder = folder
    this.#files = parts.files
    this.#intake = parts.intake
    this.#removals = parts.removals
  }

  /** Opens the blobs of the layout in `folder`, and drops what a crash left, except downloads worth going on with. */
  static async open(folder: string): Promise<BlobStore> {
    const files = await BlobFiles.open(folder)
    const removals = new Map<Digest, Promise<void>>()
    const removed = async (digest: Digest) => removals.get(digest)
    const intake = await BlobIntake.open({ folder: ingestFolder(folder), files, removed })
    return new BlobStore(folder, { files, intake, removals })
  }

  /** Where the blob of a digest is, or would be. */
  pathOf(digest: Digest): string {
    return this.#files.pathOf(digest)
  }

  /** A name for a file that is needed for a while and not kept. */
  temporaryPath(purpose: string): string {
    return temporaryName(path.join(ingestFolder(this.#folder), purpose))
  }

  /** Whether the blob is there, with exactly this size. */
  async has(blob: StoredBlob): Promise<boolean> {
    // Careful: who holds a blob before asking can rely on the answer: a sweep that came first has ended by then.
    await this.#removals.get(blob.digest)
    return this.#files.has(blob)
  }

  /** Reads a small document and checks it again. Throws `oci.not-found`, `oci.limit`, `oci.corrupt-store`. */
  async read(digest: Digest, what: string): Promise<Buffer> {
    await using file = await this.#files.openBlob(digest, what)
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
    return this.#intake.ingest(what, expected, fill, options)
  }

  /**
   * The bytes of a blob: of one that comes in just now as they come, not verified yet; of one that is there from its
   * file. Throws `oci.not-found` when it is neither, and what ends the download.
   */
  async *follow(digest: Digest, what: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const feed = this.#intake.feedOf(digest)
    if (feed !== undefined) return yield* feed.follow(signal)
    await using file = await this.#files.openBlob(digest, what)
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
    await using handle = await open(file, OPEN_TO_READ)
    await requireSameBlob(what, handle, actual, expected)
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
    const parts = await listParts(ingestFolder(this.#folder), digest)
    return parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }

  /** Throws `oci.no-space` unless so many bytes fit on the disk. */
  async requireSpace(neededBytes: number, action: string): Promise<void> {
    return requireSpace(this.#folder, neededBytes, action)
  }

  /** Every file that is named like a blob. A file of another name is not ours. */
  list(): AsyncGenerator<StoredBlob, void, void> {
    return this.#files.list()
  }

  /** Names of files beside the blobs that are not named like one. */
  async strangers(): Promise<string[]> {
    return this.#files.strangers()
  }

  /** Hashes a blob again; undefined when it is gone. */
  async digestNow(digest: Digest, signal?: AbortSignal): Promise<Digest | undefined> {
    return this.#files.digestNow(digest, signal)
  }

  /** Removes one blob, whoever wants it. */
  async remove(digest: Digest): Promise<void> {
    await this.#remove(digest, () => this.#files.remove(digest))
  }

  /** Removes every blob that is neither wanted nor held; returns the bytes that became free. */
  async sweep({ isWanted, held, dryRun = false }: SweepOptions): Promise<number> {
    let freedBytes = 0
    for await (const { digest, size } of this.list()) {
      if (isWanted(digest) || held.has(digest)) continue
      freedBytes += size
      if (!dryRun) await this.remove(digest)
    }
    if (!dryRun) await this.#files.sync()
    return freedBytes
  }

  /** Removes what broken-off downloads left, except of those that go on just now; returns the bytes that became free. */
  async sweepParts({ dryRun = false }: { readonly dryRun?: boolean | undefined } = {}): Promise<number> {
    let freedBytes = 0
    for (const { digest, path: file, sizeBytes } of await listParts(ingestFolder(this.#folder))) {
      if (this.#intake.feedOf(digest) !== undefined) continue
      freedBytes += sizeBytes
      if (!dryRun) await this.#remove(digest, () => rm(file, { force: true }))
    }
    return freedBytes
  }

  async #remove(digest: Digest, remove: () => Promise<void>): Promise<void> {
    const removal = remove().finally(() => this.#removals.delete(digest))
    this.#removals.set(
      digest,
      removal.catch(() => {}),
    )
    await removal
  }
}

/** Where blobs are while they come. */
function ingestFolder(folder: string): string {
  return path.join(folder, 'ingest')
}
