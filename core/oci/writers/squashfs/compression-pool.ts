// The threads that compress, shared by all segments that are made at the same time: each lane has a zstd context of some
// hundred KiB to many MiB, depending on the level, so that there are no more of them than threads can use.

import { availableParallelism } from 'node:os'
import { BlockBuffers } from './block-buffers.ts'
import { BlockCompressor } from './block-compressor.ts'
import { BLOCK_BYTES } from './format.ts'

/** Blocks on their way for each one that is being compressed. */
const BLOCKS_PER_LANE = 6

/** A share in the pool; the last one to be disposed closes it. */
export interface CompressionPool extends Disposable {
  readonly compressor: BlockCompressor
  readonly buffers: BlockBuffers
  /** How much one segment may have on its way. */
  readonly queueBytes: number
}

/** Hands out shares in a pool, which is there while somebody has one. `level` as zstd counts them, 1–22. */
export function compressionPools(level: number): () => CompressionPool {
  const laneCount = compressionLanes()
  let shared: { compressor: BlockCompressor; buffers: BlockBuffers } | undefined
  let shares = 0
  return () => {
    shared ??= { compressor: new BlockCompressor(level, laneCount), buffers: new BlockBuffers() }
    shares += 1
    let isMine = true
    return {
      ...shared,
      queueBytes: laneCount * BLOCKS_PER_LANE * BLOCK_BYTES,
      [Symbol.dispose]() {
        if (!isMine) return
        isMine = false
        shares -= 1
        if (shares > 0) return
        shared?.compressor.close()
        shared = undefined
      },
    }
  }
}

/** One thread of libuv's pool is left for decompressing the layer; more lanes than processors bring nothing. */
function compressionLanes(): number {
  const poolThreads = Number(process.env.UV_THREADPOOL_SIZE) || 4
  return Math.max(1, Math.min(poolThreads - 1, availableParallelism() + 1))
}
