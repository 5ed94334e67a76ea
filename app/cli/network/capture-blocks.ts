// A capture cut into the blocks of pcapng (draft-ietf-opsawg-pcapng §3), so that whatever is written of it ends where a
// block ends: a reader never meets half a frame.

const headerBytes = 8
const shortestBlockBytes = 12
/** More than the longest frame, its block header and its options. */
const longestBlockBytes = 1024 * 1024
const sectionHeader = 0x0a0d0d0a
const byteOrderMagic = 0x1a2b3c4d
const interfaceStatistics = 5
const enhancedPacket = 6
/** Before its options a statistics block has its header, the interface and a time. */
const statisticsOptionsAt = 20
const droppedOption = 5

export class CaptureBlocks {
  #pending: Uint8Array = new Uint8Array(0)
  #isBegun = false
  #frames = 0
  #dropped = 0

  /** Frames in the blocks so far. */
  get frames(): number {
    return this.#frames
  }

  /** Frames that had no room, as the capture itself says. */
  get dropped(): number {
    return this.#dropped
  }

  /** The blocks that `chunk` completes, end to end. Throws a RangeError at what is no little-endian pcapng. */
  push(chunk: Uint8Array): Uint8Array {
    const bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (bytes.length - at >= shortestBlockBytes) {
      const length = this.#blockLength(view, at)
      if (at + length > bytes.length) break
      this.#count(view, at, length)
      at += length
    }
    this.#pending = at === bytes.length ? new Uint8Array(0) : bytes.slice(at)
    return bytes.subarray(0, at)
  }

  #blockLength(view: DataView, at: number): number {
    const type = view.getUint32(at, true)
    const length = view.getUint32(at + 4, true)
    const isSection = type === sectionHeader && view.getUint32(at + headerBytes, true) === byteOrderMagic
    if (!this.#isBegun && !isSection) throw new RangeError('it does not begin as pcapng does')
    this.#isBegun = true
    if (length < shortestBlockBytes || length > longestBlockBytes || length % 4 !== 0)
      throw new RangeError(`it has a block of ${length} bytes`)
    return length
  }

  #count(view: DataView, at: number, length: number): void {
    const type = view.getUint32(at, true)
    if (type === enhancedPacket) this.#frames++
    if (type === interfaceStatistics) this.#dropped = droppedIn(view, at, length) ?? this.#dropped
  }
}

/** `isb_ifdrop`: option 5, eight bytes. */
function droppedIn(view: DataView, at: number, length: number): number | undefined {
  const end = at + length - 4
  let option = at + statisticsOptionsAt
  while (option + 4 <= end) {
    const code = view.getUint16(option, true)
    const size = view.getUint16(option + 2, true)
    if (code === droppedOption && size === 8 && option + 12 <= end)
      return Number(view.getBigUint64(option + 4, true))
    option += 4 + Math.ceil(size / 4) * 4
  }
  return undefined
}
