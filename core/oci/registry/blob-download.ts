// Downloads what a blob writer still lacks. It begins with one ordinary stream. Where that is slow and much is missing, more
// connections take ranges (RFC 9110 §14) of 8 MiB from further on, in the order of their places, so that the blob's
// beginning, which is read while it grows, grows as fast as the whole. (Many servers and content networks limit each
// connection; where one connection is fast, more would only cost work.) Only the stream's failure is the download's: a
// server that has no ranges, or does not want so many connections, loses the helpers and nothing else.

import { OciError } from '../errors.ts'
import type { Slots } from '../segments/slots.ts'
import type { StoredBlob } from '../store/blob-files.ts'
import type { BlobWriter } from '../store/blob-writer.ts'
import { type RetryPolicy, retrying, TransientFailure } from './backoff.ts'
import type { HttpResponse } from './http-client.ts'
import { StreamRate } from './stream-rate.ts'

export interface BlobDownloadOptions {
  readonly blob: StoredBlob
  /** Asks once for the blob or a part of it (offsets of its first and last byte); the answer is 200, 206 or 416. */
  readonly request: (
    range: { readonly start: number; readonly end?: number | undefined } | undefined,
    signal: AbortSignal,
  ) => Promise<HttpResponse>
  /** Who answers, for messages. */
  readonly host: string
  /** Completes "Cannot …: cancelled". */
  readonly action: string
  readonly policy: RetryPolicy
  /** Connections beside each download's first, shared by all that run at the same time. */
  readonly extraConnections: Slots
  readonly signal: AbortSignal
}

/** How many connections the downloads of a pull may open beside one for each layer. */
export const EXTRA_CONNECTIONS = 5

const MIB = 1024 * 1024
const RANGE_BYTES = 8 * MIB
/** With less than this to come, more connections are not worth opening. */
const WORTH_HELP_BYTES = 32 * MIB
const HELPERS = 3
/** A connection that brings more than this needs no help. */
const FAST_BYTES_PER_SECOND = 96 * MIB
/** A try that brought this much was worth it: the count of tries starts again (containers/image does the same). */
const PROGRESS_BYTES = MIB

/**
 * Completes `writer`. Throws `oci.offline`, `oci.registry`, `oci.size-mismatch`, `oci.no-space`, `oci.cancelled`, and what
 * `request` throws; what came stays in the writer.
 */
export async function downloadBlob(writer: BlobWriter, options: BlobDownloadOptions): Promise<void> {
  await using download = new BlobDownload(writer, options)
  await download.run()
}

interface Part {
  readonly start: number
  /** Behind its last byte. */
  readonly end: number
}

/** What one connection is about to bring. */
interface Claim extends Disposable {
  position: number
  /** Lowered when a helper takes the rest over. */
  end: number
}

class BlobDownload implements AsyncDisposable {
  readonly #writer: BlobWriter
  readonly #options: BlobDownloadOptions
  readonly #sizeBytes: number
  readonly #failed = new AbortController()
  readonly #helpersEnd = new AbortController()
  /** Ends everything. */
  readonly #signal: AbortSignal
  readonly #helperSignal: AbortSignal
  readonly #claims = new Set<Claim>()
  readonly #helpers = new Set<Promise<void>>()
  /** What the download's own connection brings. */
  #stream: Claim | undefined
  /** What an answer to a question for a part has shown. */
  #ranges: 'unknown' | 'proven' | 'refused' = 'unknown'

  constructor(writer: BlobWriter, options: BlobDownloadOptions) {
    this.#writer = writer
    this.#options = options
    this.#sizeBytes = options.blob.size
    this.#signal = AbortSignal.any([options.signal, this.#failed.signal])
    this.#helperSignal = AbortSignal.any([this.#signal, this.#helpersEnd.signal])
  }

  async run(): Promise<void> {
    const { policy, action } = this.#options
    let bytesAtLastFailure = this.#writer.receivedBytes
    const hasProgressed = () => {
      const gained = this.#writer.receivedBytes - bytesAtLastFailure
      bytesAtLastFailure = this.#writer.receivedBytes
      return gained >= PROGRESS_BYTES
    }
    try {
      await retrying(() => this.#bringAll(), { policy, action, signal: this.#signal, hasProgressed })
    } catch (error) {
      throw this.#failed.signal.aborted ? this.#failed.signal.reason : error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#helpersEnd.abort()
    await Promise.all(this.#helpers)
  }

  async #bringAll(): Promise<void> {
    while (!this.#writer.isComplete) {
      const part = this.#nextPart(this.#helpers.size === 0 ? this.#sizeBytes : RANGE_BYTES)
      if (part !== undefined) {
        using claim = this.#claim(part)
        this.#stream = claim
        await this.#bringPart(claim)
      } else if (this.#helpers.size > 0) {
        await Promise.race(this.#helpers)
      } else {
        throw new OciError(
          'oci.internal',
          `Cannot read ${this.#writer.what}: nothing is missing, nor is it whole`,
        )
      }
    }
  }

  async #bringPart(claim: Claim): Promise<void> {
    const { position: start, end } = claim
    const isWhole = start === 0 && end === this.#sizeBytes
    const response = await this.#ask(isWhole ? undefined : { start, end }, this.#signal)
    if (response.status === 200) {
      // A server without ranges sends everything again.
      if (start > 0) await this.#startOver()
      claim.position = 0
      claim.end = this.#sizeBytes
    } else if (!isPart(response, start, this.#sizeBytes)) {
      await response.discard()
      if (start > 0) await this.#startOver()
      throw new TransientFailure(
        new OciError(
          'oci.registry',
          `Cannot read ${this.#writer.what}: ${this.#options.host} sent another part than asked for`,
        ),
      )
    } else if (!isWhole && this.#ranges === 'unknown') {
      this.#ranges = 'proven'
    }
    const rate = new StreamRate()
    await this.#receive(response, claim, (bytes, waitedMs) => {
      rate.add(bytes, waitedMs)
      this.#callForHelp(rate)
    })
    if (claim.position >= claim.end) return
    const message = `Cannot read ${this.#writer.what}: it ended after ${claim.position} of ${this.#sizeBytes} bytes`
    throw new TransientFailure(new OciError('oci.size-mismatch', message))
  }

  /** Takes bytes as far as the claim goes. `onBytes` is told how many came and how long they were waited for. */
  async #receive(
    response: HttpResponse,
    claim: Claim,
    onBytes: (bytes: number, waitedMs: number) => void = () => {},
  ): Promise<void> {
    let waitingSinceMs = performance.now()
    for await (const chunk of response.body) {
      const waitedMs = performance.now() - waitingSinceMs
      // Behind the claim's end is what others bring; giving an answer up costs its connection.
      const isToTheEnd = claim.end === this.#sizeBytes
      if (!isToTheEnd && claim.position >= claim.end) return
      const bytes = isToTheEnd ? chunk : chunk.subarray(0, claim.end - claim.position)
      await this.#writer.writeAt(claim.position, bytes)
      claim.position += bytes.length
      onBytes(bytes.length, waitedMs)
      waitingSinceMs = performance.now()
    }
  }

  #callForHelp(rate: StreamRate): void {
    if (this.#ranges === 'refused' || this.#helpers.size > 0) return
    const missingBytes = this.#sizeBytes - this.#writer.receivedBytes
    if (missingBytes >= WORTH_HELP_BYTES && rate.isBelow(FAST_BYTES_PER_SECOND)) this.#startHelper()
  }

  #startHelper(): void {
    const helper = this.#help()
      .catch((error: unknown) => {
        // Nobody could go on after this: the disk is full, or there are more bytes than there should be.
        if (!this.#helperSignal.aborted) this.#failed.abort(error)
      })
      .finally(() => this.#helpers.delete(helper))
    this.#helpers.add(helper)
  }

  /** Brings one range after the other over a connection of its own. */
  async #help(): Promise<void> {
    using _place = await this.#options.extraConnections.take(this.#helperSignal, this.#options.action)
    while (this.#ranges !== 'refused') {
      using claim = this.#claimForHelper()
      if (claim === undefined) return
      const { position: start } = claim
      try {
        await this.#bringRange(claim)
      } catch (error) {
        if (!(error instanceof TransientFailure)) throw error
        // It may not want so many connections.
        if (claim.position === start) this.#ranges = 'refused'
      }
    }
  }

  async #bringRange(claim: Claim): Promise<void> {
    const { position: start, end } = claim
    const response = await this.#ask({ start, end }, this.#helperSignal)
    if (!isPart(response, start, this.#sizeBytes)) {
      this.#ranges = 'refused'
      return response.discard()
    }
    if (this.#ranges === 'unknown') {
      this.#ranges = 'proven'
      for (let count = 1; count < HELPERS; count++) this.#startHelper()
    }
    const stream = this.#currentStream
    if (stream !== undefined && stream.end > start) {
      // The stream was faster: the next range is further on.
      if (stream.position >= start) return response.discard()
      stream.end = start
    }
    await this.#receive(response, claim)
    if (claim.position === start) this.#ranges = 'refused'
  }

  get #currentStream(): Claim | undefined {
    return this.#stream !== undefined && this.#claims.has(this.#stream) ? this.#stream : undefined
  }

  #claimForHelper(): Claim | undefined {
    const part = this.#nextPart(RANGE_BYTES)
    if (part !== undefined) return this.#claim(part)
    // The stream has claimed all the rest: it keeps what it will bring soonest.
    const stream = this.#currentStream
    if (stream === undefined) return undefined
    const start = rangeEnd(stream.position + RANGE_BYTES)
    return start < stream.end ? this.#claim({ start, end: Math.min(stream.end, rangeEnd(start)) }) : undefined
  }

  /** The first part that is missing and that nobody brings; cut at the end of its range when it is longer than allowed. */
  #nextPart(limitBytes: number): Part | undefined {
    const claims = [...this.#claims].sort((one, other) => one.position - other.position)
    for (const gap of this.#writer.missing) {
      let { start, end } = gap
      for (const claim of claims) {
        if (claim.end <= start || claim.position >= end) continue
        if (claim.position <= start) start = claim.end
        else end = claim.position
      }
      if (start < end) return { start, end: end - start > limitBytes ? Math.min(end, rangeEnd(start)) : end }
    }
    return undefined
  }

  #claim({ start, end }: Part): Claim {
    const claim = { position: start, end, [Symbol.dispose]: () => void this.#claims.delete(claim) }
    this.#claims.add(claim)
    return claim
  }

  async #startOver(): Promise<void> {
    this.#ranges = 'refused'
    this.#helpersEnd.abort()
    await Promise.all(this.#helpers)
    await this.#writer.restart()
  }

  #ask(part: Part | undefined, signal: AbortSignal): Promise<HttpResponse> {
    if (part === undefined) return this.#options.request(undefined, signal)
    const { start, end } = part
    return this.#options.request(end === this.#sizeBytes ? { start } : { start, end: end - 1 }, signal)
  }
}

function rangeEnd(position: number): number {
  return (Math.floor(position / RANGE_BYTES) + 1) * RANGE_BYTES
}

/** Whether the answer is the part that begins at `start` (Content-Range, RFC 9110 §14.4), of the blob that was meant. */
function isPart(response: HttpResponse, start: number, sizeBytes: number): boolean {
  if (response.status !== 206) return false
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.header('content-range') ?? '') ?? []
  return Number(first) === start && (total === '*' || Number(total) === sizeBytes)
}
