// Lets others read a blob while it comes in: its bytes in order, as far as they have been hashed. What they read is not
// verified before the blob is complete, so they have to check their own result (a layer's diffID does).

import { constants, type FileHandle, open } from 'node:fs/promises'
import { cancelled, hasCode, OciError } from '../errors.ts'

export interface FeedPlaces {
  /** The file that the bytes go to while they come. */
  readonly part: string
  /** Where the file is when it is complete. */
  readonly final: string
}

const READ_BYTES = 1024 * 1024
/** Readers are woken for this much, not for each packet. */
const WAKE_BYTES = 256 * 1024

export class BlobFeed {
  readonly #what: string
  readonly #places: FeedPlaces
  readonly #waiting = new Set<() => void>()
  #sizeBytes = 0
  #isComplete = false
  #failure: unknown
  /** Counts how often the blob has started over. */
  #round = 0

  constructor(what: string, places: FeedPlaces) {
    this.#what = what
    this.#places = places
  }

  /** So many bytes are in the file, from its beginning. */
  advance(sizeBytes: number): void {
    const isWorthWaking = Math.floor(sizeBytes / WAKE_BYTES) !== Math.floor(this.#sizeBytes / WAKE_BYTES)
    this.#sizeBytes = sizeBytes
    if (isWorthWaking) this.#wake()
  }

  /** The bytes so far were wrong or are sent again: who has read them cannot go on. */
  restart(): void {
    this.#round += 1
    this.#sizeBytes = 0
    this.#wake()
  }

  /** The blob is verified and in its place. */
  complete(): void {
    this.#isComplete = true
    this.#wake()
  }

  /** There will be no more bytes. */
  fail(error: unknown): void {
    this.#failure = error
    this.#wake()
  }

  /**
   * The blob's bytes from its beginning, those to come included; each reader at its own pace. Throws what ended the
   * download, `oci.registry` when it starts over, `oci.cancelled`.
   */
  async *follow(signal?: AbortSignal): AsyncGenerator<Buffer, void, void> {
    const round = this.#round
    await using file = await this.#open()
    let position = 0
    for (;;) {
      this.#throwIfOver(round)
      if (signal?.aborted === true) throw cancelled(`read ${this.#what}`, signal.reason)
      if (position < this.#sizeBytes) {
        const length = Math.min(READ_BYTES, this.#sizeBytes - position)
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, position)
        // What was read while the download started over may be of either round.
        this.#throwIfOver(round)
        position += bytesRead
        yield buffer.subarray(0, bytesRead)
      } else {
        if (this.#isComplete) return
        await this.#news(signal)
      }
    }
  }

  #throwIfOver(round: number): void {
    if (this.#failure !== undefined) throw this.#failure
    if (round === this.#round) return
    throw new OciError(
      'oci.registry',
      `Cannot go on reading ${this.#what}: it is fetched from its beginning again`,
    )
  }

  async #open(): Promise<FileHandle> {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW
    try {
      return await open(this.#places.part, flags)
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
      return open(this.#places.final, flags)
    }
  }

  #news(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake, { once: true })
    })
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}
