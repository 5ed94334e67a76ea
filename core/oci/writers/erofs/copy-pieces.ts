// Copies the contents that an image uses out of its segments, from front to back, with few large writes: reading goes on
// while what was read before is written. What lies between the pieces stays a hole of the image file.

import type { FileHandle } from 'node:fs/promises'
import { throwIfCancelled } from '../../errors.ts'
import { readFully, writeFully } from '../../file-bytes.ts'

const BATCH_BYTES = 2 * 1024 * 1024
/** Shorter gaps are written as zeros, with what stands around them. */
const GAP_BYTES = 64 * 1024

/** Bytes of a segment and where in the image they go. */
export interface CopiedPiece {
  readonly file: FileHandle
  readonly from: number
  readonly to: number
  readonly sizeBytes: number
}

export interface CopyPiecesOptions {
  /** In the order of their places in the image. */
  readonly pieces: Iterable<CopiedPiece>
  readonly target: FileHandle
  readonly signal?: AbortSignal | undefined
  /** Told how many more bytes are in the image. */
  readonly onCopied: (bytes: number) => void
}

/** Copies all pieces. Throws `oci.cancelled`, or the system's error; then nothing is written any more. */
export async function copyPieces({ pieces, target, signal, onCopied }: CopyPiecesOptions): Promise<void> {
  const buffers = [Buffer.allocUnsafeSlow(BATCH_BYTES), Buffer.allocUnsafeSlow(BATCH_BYTES)] as const
  let [filling, writing] = buffers
  let written = Promise.resolve()
  try {
    for (const batch of batchesOf(pieces)) {
      throwIfCancelled(signal, 'write the image')
      const [start, end] = await fill(filling, batch)
      await written
      onCopied(end - start)
      ;[filling, writing] = [writing, filling]
      written = writeFully(target, writing.subarray(0, end - start), start)
      // Its failure is met when it is waited for.
      written.catch(() => undefined)
    }
  } finally {
    await written
  }
}

/** Reads the pieces of a batch into a buffer; returns the range of the image that they make together. */
async function fill(buffer: Buffer, batch: readonly CopiedPiece[]): Promise<readonly [number, number]> {
  const start = batch[0]?.to ?? 0
  let end = start
  for (const { file, from, to, sizeBytes } of batch) {
    buffer.fill(0, end - start, to - start)
    end = to + sizeBytes
    await readFully(file, buffer.subarray(to - start, end - start), from)
  }
  return [start, end]
}

/** Groups pieces, joined with their neighbours and cut where they are long, so that each group fits into a buffer. */
function* batchesOf(pieces: Iterable<CopiedPiece>): Generator<CopiedPiece[], void, void> {
  let batch: CopiedPiece[] = []
  let start = 0
  let end = 0
  for (const { file, from, to, sizeBytes } of joined(pieces)) {
    for (let offset = 0; offset < sizeBytes; ) {
      const place = to + offset
      const isTooFar = place - end > GAP_BYTES || place - start >= BATCH_BYTES
      if (batch.length > 0 && isTooFar) {
        yield batch
        batch = []
      }
      if (batch.length === 0) start = place
      const length = Math.min(sizeBytes - offset, start + BATCH_BYTES - place)
      batch.push({ file, from: from + offset, to: place, sizeBytes: length })
      offset += length
      end = place + length
    }
  }
  if (batch.length > 0) yield batch
}

/** Joins pieces that follow each other in the segment as they do in the image. */
function* joined(pieces: Iterable<CopiedPiece>): Generator<CopiedPiece, void, void> {
  let last: CopiedPiece | undefined
  for (const piece of pieces) {
    if (last === undefined) {
      last = piece
      continue
    }
    const { file, from, to, sizeBytes } = last
    const isNext = piece.file === file && piece.from === from + sizeBytes && piece.to === to + sizeBytes
    if (!isNext) yield last
    last = isNext ? { file, from, to, sizeBytes: sizeBytes + piece.sizeBytes } : piece
  }
  if (last !== undefined) yield last
}
