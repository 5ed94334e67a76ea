// How fast a connection brings bytes: counted is the time in which they were waited for, so that a slow disk or a busy
// processor is not taken for a slow connection.

/** A connection is judged once it has brought this much: before, TCP is only getting up to speed. */
const JUDGED_BYTES = 1024 * 1024

export class StreamRate {
  #bytes = 0
  #waitedMs = 0
  #isFirst = true

  /** Bytes came, after they had been waited for so long. */
  add(bytes: number, waitedMs: number): void {
    // The first bytes were waited for while the server looked for the blob.
    if (!this.#isFirst) {
      this.#bytes += bytes
      this.#waitedMs += waitedMs
    }
    this.#isFirst = false
  }

  /** Whether the connection brings less than so much each second; false while it cannot be told. */
  isBelow(bytesPerSecond: number): boolean {
    return this.#bytes >= JUDGED_BYTES && (this.#bytes * 1000) / this.#waitedMs < bytesPerSecond
  }
}
