// Takes blobs in: one run for each, however many ask for it at the same time, which others can follow while it goes on.
// What is broken off stays for the next (part-files.ts).

import { mkdir } from 'node:fs/promises'
import type { Digest } from '../digest.ts'
import { fromDiskError, hasCode } from '../errors.ts'
import { type FlightContext, type FlightOptions, SingleFlight } from '../single-flight.ts'
import { BlobFeed } from './blob-feed.ts'
import type { BlobFiles, StoredBlob } from './blob-files.ts'
import { BlobWriter } from './blob-writer.ts'
import { clearLeftovers, partPath } from './part-files.ts'

/** Writes a blob's bytes, those that `writer` does not have yet. `attempt` is 2 when what came first was wrong. */
export type FillBlob = (writer: BlobWriter, signal: AbortSignal, attempt: 1 | 2) => Promise<void>

export interface BlobIntakeOptions {
  /** `ingest/`: made when missing. */
  readonly folder: string
  /** Where a blob goes when it is complete. */
  readonly files: BlobFiles
  /** Waits for a removal of the blob, or of its leftovers, that is under way. */
  readonly removed: (digest: Digest) => Promise<void>
}

export class BlobIntake {
  readonly #options: BlobIntakeOptions
  readonly #flights = new SingleFlight<StoredBlob, number>()
  /** Blobs that come in just now. */
  readonly #incoming = new Map<Digest, BlobFeed>()

  private constructor(options: BlobIntakeOptions) {
    this.#options = options
  }

  /** Drops what a crash left in the folder, except downloads worth going on with. */
  static async open(options: BlobIntakeOptions): Promise<BlobIntake> {
    await mkdir(options.folder, { recursive: true, mode: 0o700 })
    await clearLeftovers(options.folder, Date.now())
    return new BlobIntake(options)
  }

  /** What can be read of a blob that comes in just now. */
  feedOf(digest: Digest): BlobFeed | undefined {
    return this.#incoming.get(digest)
  }

  /** See `BlobStore.ingest`. */
  async ingest(
    what: string,
    expected: StoredBlob,
    fill: FillBlob,
    options: FlightOptions<number> = {},
  ): Promise<StoredBlob> {
    const { digest } = expected
    const { folder, files, removed } = this.#options
    return this.#flights.run(
      digest,
      `fetch ${what}`,
      async (flight) => {
        await removed(digest)
        if (await files.has(expected)) return expected
        const feed = new BlobFeed(what, {
          part: partPath(folder, digest),
          final: files.pathOf(digest),
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

  async #take(
    what: string,
    { digest, size }: StoredBlob,
    { fill, feed, flight }: { fill: FillBlob; feed: BlobFeed; flight: FlightContext<number> },
  ): Promise<void> {
    // A sweep of leftovers may be about to remove this one's.
    await this.#options.removed(digest)
    const { signal, report } = flight
    await using writer = await BlobWriter.open({
      what,
      digest,
      size,
      folder: this.#options.folder,
      final: this.#options.files.pathOf(digest),
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
}
