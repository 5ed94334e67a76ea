// Cuts a zstd stream at its frame borders. Node 24's decoder stops after the first frame of a write and drops the rest
// of that write in silence, so that each write must hold bytes of one frame only. Skippable frames are left out.
// The format: RFC 8878 §3.1.

import { OciError } from '../errors.ts'
import { isSkippableFrameMagic, ZSTD_FRAME_MAGIC } from './compression.ts'

/** What the next bytes are: a field of known length whose value matters, or a body that is passed over. */
type State = 'magic' | 'descriptor' | 'block-header' | 'skip-size' | 'header' | 'block' | 'checksum' | 'skip'

const MAGIC = ['magic', 4] as const
const DESCRIPTOR = ['descriptor', 1] as const
const BLOCK_HEADER = ['block-header', 3] as const
const SKIP_SIZE = ['skip-size', 4] as const
const CHECKSUM = ['checksum', 4] as const
const FIELDS: ReadonlySet<State> = new Set(['magic', 'descriptor', 'block-header', 'skip-size'])
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const BLOCK_TYPE_RLE = 1
const BLOCK_TYPE_RESERVED = 3
const BLOCK_BYTES_LIMIT = 128 * 1024

/** Splits the chunks of one zstd stream into pieces, none of which spans two frames. */
export class ZstdFrameSplitter {
  readonly #layerName: string
  readonly #field = Buffer.alloc(4)
  #state: State = 'magic'
  /** Bytes of the field that are there already. */
  #fieldLength = 0
  /** Bytes of the field or body still to come. */
  #remaining = 4
  #isLastBlock = false
  #hasChecksum = false

  constructor(layerName: string) {
    this.#layerName = layerName
  }

  /** The pieces of `chunk` to hand to the decoder, one write each; they share the chunk's memory. */
  split(chunk: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    let pieceStart = 0
    let offset = 0
    while (offset < chunk.length) {
      const before = this.#state
      const magicBeganEarlier = before === 'magic' && this.#fieldLength > 0
      offset += this.#take(chunk, offset)
      if (this.#remaining > 0) break
      this.#advance()
      if (before === 'magic') {
        if (!magicBeganEarlier || this.#state !== 'descriptor') continue
        pieces.push(Buffer.from(this.#field))
        pieceStart = offset
      } else if (this.#state === 'magic') {
        if (before !== 'skip' && before !== 'skip-size') pieces.push(chunk.subarray(pieceStart, offset))
        pieceStart = offset
      }
    }
    const isInsideFrame = this.#state !== 'magic' && this.#state !== 'skip-size' && this.#state !== 'skip'
    if (isInsideFrame && pieceStart < chunk.length) pieces.push(chunk.subarray(pieceStart))
    return pieces
  }

  /** Checks that the stream ended between two frames. Throws `oci.corrupt-layer`. */
  finish(): void {
    if (this.#state !== 'magic' || this.#fieldLength > 0) throw this.#corrupt('its zstd stream is cut off')
  }

  #take(chunk: Buffer, offset: number): number {
    const taken = Math.min(this.#remaining, chunk.length - offset)
    if (FIELDS.has(this.#state)) {
      chunk.copy(this.#field, this.#fieldLength, offset, offset + taken)
      this.#fieldLength += taken
    }
    this.#remaining -= taken
    return taken
  }

  /** Goes to the next part of the stream that has any bytes. */
  #advance(): void {
    do {
      const [state, bytes] = this.#next()
      this.#state = state
      this.#fieldLength = 0
      this.#remaining = bytes
    } while (this.#remaining === 0)
  }

  /** What follows the part that is complete now, and how many bytes it has. */
  #next(): readonly [State, number] {
    switch (this.#state) {
      case 'magic': {
        const magic = this.#field.readUInt32LE(0)
        if (isSkippableFrameMagic(magic)) return SKIP_SIZE
        if (magic !== ZSTD_FRAME_MAGIC) throw this.#corrupt('a zstd frame has a wrong magic number')
        return DESCRIPTOR
      }
      case 'descriptor':
        return ['header', this.#readDescriptor(this.#field.readUInt8(0))]
      case 'header':
        return BLOCK_HEADER
      case 'block-header': {
        const header = this.#field.readUIntLE(0, 3)
        const type = (header >> 1) & 3
        const size = header >> 3
        if (type === BLOCK_TYPE_RESERVED) throw this.#corrupt('a zstd block has the reserved type')
        if (type !== BLOCK_TYPE_RLE && size > BLOCK_BYTES_LIMIT)
          throw this.#corrupt('a zstd block is too large')
        this.#isLastBlock = (header & 1) !== 0
        return ['block', type === BLOCK_TYPE_RLE ? 1 : size]
      }
      case 'block':
        if (!this.#isLastBlock) return BLOCK_HEADER
        return this.#hasChecksum ? CHECKSUM : MAGIC
      case 'skip-size':
        return ['skip', this.#field.readUInt32LE(0)]
      case 'checksum':
      case 'skip':
        return MAGIC
    }
  }

  /** Remembers what matters of a frame header descriptor; returns how long the rest of the header is. */
  #readDescriptor(descriptor: number): number {
    const isSingleSegment = (descriptor & 0x20) !== 0
    const sizeFlag = descriptor >> 6
    const windowBytes = isSingleSegment ? 0 : 1
    const contentSizeBytes = sizeFlag === 0 ? (isSingleSegment ? 1 : 0) : 1 << sizeFlag
    this.#hasChecksum = (descriptor & 4) !== 0
    return windowBytes + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) + contentSizeBytes
  }

  #corrupt(reason: string): OciError {
    return new OciError('oci.corrupt-layer', `Cannot read ${this.#layerName}: ${reason}`)
  }
}
