// How fast a connection brings bytes, and whether it is the connection that sets the pace.

/** A connection is judged once it has brought this much: before, TCP is only getting up to speed. */
const JUDGED_BYTES = 1024 * 1024

export class StreamRate {
  #startedMs: number | undefined
  #bytes = 0
  #waitedMs = 0

  /** Bytes came, after they had been waited for so long. */
  add(bytes: number, waitedMs: number): void {
    if (this.#startedMs === undefined) {
      // The first bytes were waited for while the server looked for the blob.
      this.#startedMs = performance.now()
      return
    }
    this.#bytes += bytes
    this.#waitedMs += waitedMs
  }

  /**
   * Whether so much each second is more than the connection brings. A slow disk or a busy processor is not taken for a
   * slow connection: then it is not the bytes that are waited for most of the time. False while it cannot be told.
   */
  isBelow(bytesPerSecond: number): boolean {
    if (this.#startedMs === undefined || this.#bytes < JUDGED_BYTES) return false
    const passedMs = performance.now() - this.#startedMs
    return this.#waitedMs > passedMs / 2 && (this.#bytes * 1000) / passedMs < bytesPerSecond
  }
}
