// The machine frame behind each of a domain's pages (Xen's "p2m"). Kept as pairs of 32-bit words, which is
// the form the guest gets it in and is many times faster to loop over than 64-bit integers, which are BigInts
// in JavaScript.

/** Frame numbers by page; little-endian 64-bit values in `words`. */
export class FrameList {
  readonly pages: number
  readonly words: Uint32Array<ArrayBuffer>

  constructor(pages: number) {
    this.pages = pages
    this.words = new Uint32Array(pages * 2)
  }

  /**
   * Sets `count` consecutive pages to consecutive frames; `firstFrame` is a multiple of `count`, a power of
   * two.
   */
  setExtent(firstPage: number, firstFrame: bigint, count: number): void {
    const low = Number(BigInt.asUintN(32, firstFrame))
    const high = Number(firstFrame >> 32n)
    const { words } = this
    for (let index = 0; index < count; index++) {
      const word = (firstPage + index) * 2
      // Aligned, so the low word cannot overflow.
      words[word] = low + index
      words[word + 1] = high
    }
  }

  /** Takes the frames of single pages over as they are. */
  setFrames(firstPage: number, frames: BigUint64Array<ArrayBuffer>): void {
    this.words.set(new Uint32Array(frames.buffer, frames.byteOffset, frames.length * 2), firstPage * 2)
  }

  /** The frame of one page; frame numbers have at most 52 bits. */
  frameOf(page: number): number {
    const low = this.words[page * 2]
    const high = this.words[page * 2 + 1]
    if (low === undefined || high === undefined)
      throw new RangeError(`Page ${page} is not among ${this.pages}`)
    return high * 2 ** 32 + low
  }

  /** The frames of consecutive pages, not copied. */
  range(firstPage: number, pages: number): BigUint64Array<ArrayBuffer> {
    return new BigUint64Array(this.words.buffer, firstPage * 8, pages)
  }

  /** The frames of several runs of pages, one run after another, and then the given ones. */
  gather(
    ranges: readonly { readonly firstPage: number; readonly pages: number }[],
    more: readonly number[] = [],
  ): BigUint64Array<ArrayBuffer> {
    const frames = new BigUint64Array(ranges.reduce((sum, range) => sum + range.pages, more.length))
    let offset = 0
    for (const { firstPage, pages } of ranges) {
      frames.set(this.range(firstPage, pages), offset)
      offset += pages
    }
    frames.set(more.map(BigInt), offset)
    return frames
  }
}
