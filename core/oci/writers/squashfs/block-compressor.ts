// Compresses blocks in libuv's thread pool, several at a time. Each lane keeps one zstd context for its life: making one
// per block (zlib.zstdCompress) costs twice the processor time. With the flush mode "end" each write becomes one whole
// frame whose size is known beforehand, which makes it single-segment; that is checked for every block.

import { constants, createZstdCompress, type ZstdCompress, zstdCompressSync } from 'node:zlib'
import { OciError } from '../../errors.ts'
import { readZstdFrame } from './zstd-frame.ts'

/** Frames are cut out of output buffers of this size. */
const OUTPUT_BYTES = 1024 * 1024

interface Lane {
  readonly stream: ZstdCompress
  pieces: Buffer[]
  fail: ((error: Error) => void) | null
}

export class BlockCompressor {
  readonly #level: number
  readonly #laneCount: number
  readonly #lanes: Lane[] = []
  readonly #idle: Lane[] = []
  readonly #waiting: ((lane: Lane) => void)[] = []

  /** `level` as zstd counts them, 1–22; `laneCount` blocks are compressed at the same time. */
  constructor(level: number, laneCount: number) {
    this.#level = level
    this.#laneCount = laneCount
  }

  /** One zstd frame of the block. Blocks finish in any order. */
  async compress(block: Buffer): Promise<Buffer> {
    const lane =
      this.#idle.pop() ??
      (this.#lanes.length < this.#laneCount
        ? this.#openLane()
        : await new Promise<Lane>((resolve) => this.#waiting.push(resolve)))
    try {
      await new Promise<void>((resolve, reject) => {
        lane.fail = reject
        lane.stream.write(block, (error) => (error ? reject(error) : resolve()))
      })
      return wholeFrame(lane.pieces, block.length)
    } finally {
      lane.pieces = []
      lane.fail = null
      const next = this.#waiting.shift()
      if (next === undefined) this.#idle.push(lane)
      else next(lane)
    }
  }

  /** One zstd frame of a small block, at once. */
  compressNow(block: Buffer): Buffer {
    const frame = zstdCompressSync(block, {
      params: { [constants.ZSTD_c_compressionLevel]: this.#level },
      pledgedSrcSize: block.length,
    })
    return wholeFrame([frame], block.length)
  }

  close(): void {
    for (const lane of this.#lanes) lane.stream.destroy()
  }

  #openLane(): Lane {
    const stream = createZstdCompress({
      flush: constants.ZSTD_e_end,
      chunkSize: OUTPUT_BYTES,
      params: { [constants.ZSTD_c_compressionLevel]: this.#level },
    })
    const lane: Lane = { stream, pieces: [], fail: null }
    stream.on('data', (piece: Buffer) => lane.pieces.push(piece))
    stream.on('error', (error) => lane.fail?.(error))
    this.#lanes.push(lane)
    return lane
  }
}

/**
 * The first frame of what the encoder gave. Careful: when a frame ends exactly at the end of an output buffer, zlib asks
 * the encoder once more and gets an empty frame on top, which does not belong to the block.
 */
function wholeFrame(pieces: readonly Buffer[], contentBytes: number): Buffer {
  const bytes = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
  const frame = readZstdFrame(bytes)
  if (frame?.isSingleSegment === true && frame.contentBytes === contentBytes)
    return bytes.subarray(0, frame.frameBytes)
  throw new OciError(
    'oci.internal',
    'Cannot write the image: zstd made a frame that the kernel could not read back',
    { data: { contentBytes, frameBytes: bytes.length } },
  )
}
