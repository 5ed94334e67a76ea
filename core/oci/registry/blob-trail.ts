// Where the bytes of a blob came from so far, so that when they turn out wrong it is known what to do otherwise: without
// the mirrors that had a part in it, or with an encoding undone that was declared and at first taken for a mere label.

import type { ByteRange } from './blob-request.ts'
import { decode, encodingOf } from './content-encoding.ts'
import type { HttpResponse } from './http-client.ts'

export class BlobTrail {
  readonly #sizeBytes: number
  #mirrors = new Set<string>()
  #sawEncoding = false
  #isDecoding = false

  constructor(sizeBytes: number) {
    this.#sizeBytes = sizeBytes
  }

  /** The range to ask for: what is decoded has to come from its beginning. */
  rangeFor(range: ByteRange | undefined): ByteRange | undefined {
    return this.#isDecoding ? undefined : range
  }

  /** Notes where an answer comes from, and undoes its encoding when that is known to be needed. */
  take(response: HttpResponse, mirror: string | undefined): HttpResponse {
    if (mirror !== undefined) this.#mirrors.add(mirror)
    const encoding = encodingOf(response)
    if (encoding === undefined) return response
    this.#sawEncoding = true
    if (!this.#isDecoding && !this.#isSurelyEncoded(response)) return response
    this.#isDecoding = true
    return { ...response, body: decode(response.body, encoding) }
  }

  /** The mirrors that had a part in what came; they are asked about once. */
  forgetMirrors(): string[] {
    const mirrors = [...this.#mirrors]
    this.#mirrors = new Set()
    return mirrors
  }

  /** From now on encodings are undone; false when that is so already, or there was none. */
  startDecoding(): boolean {
    if (!this.#sawEncoding || this.#isDecoding) return false
    this.#isDecoding = true
    return true
  }

  /** A whole body of another length than the blob's cannot be the blob. */
  #isSurelyEncoded(response: HttpResponse): boolean {
    const length = response.header('content-length')
    return response.status === 200 && length !== undefined && Number(length) !== this.#sizeBytes
  }
}
