// Carries the bytes of archives from the core host to the image worker, over a socket pair beside the RPC's (descriptor 4
// of the worker), so that neither side needs a name in the file system that the other could put something under. Several
// archives may come at once; each has a number.
//
// A frame is `stream u32, length u32`, little-endian, and `length` bytes (at most 1 MiB). Length 0 ends a stream,
// 0xffffffff breaks it off. Back-pressure is the socket's: the worker puts archives into files as they come, so no stream
// waits for another longer than the disk takes.

import { PassThrough, type Readable, type Writable } from 'node:stream'
import { OciError } from './errors.ts'

const HEADER_BYTES = 8
const MAX_PAYLOAD_BYTES = 1024 * 1024
const BROKEN_OFF = 0xffff_ffff

/** Sends a whole stream. When the source fails, the other side is told and the source's error is thrown. */
export async function sendStream(
  lane: Writable,
  stream: number,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  try {
    for await (const chunk of source) {
      for (let start = 0; start < chunk.length; start += MAX_PAYLOAD_BYTES) {
        await sendFrame(lane, stream, chunk.subarray(start, start + MAX_PAYLOAD_BYTES))
      }
    }
  } catch (error) {
    if (lane.writable) lane.write(header(stream, BROKEN_OFF))
    throw error
  }
  if (lane.writable) lane.write(header(stream, 0))
}

async function sendFrame(lane: Writable, stream: number, payload: Uint8Array): Promise<void> {
  if (!lane.writable)
    throw new OciError('oci.worker-died', 'Cannot send the archive: the image worker has ended')
  lane.cork()
  lane.write(header(stream, payload.length))
  const hasRoom = lane.write(payload)
  lane.uncork()
  if (!hasRoom) await roomIn(lane)
}

/** Waits until a stream takes more, or is gone. */
function roomIn(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      stream.off('drain', go)
      stream.off('close', go)
      resolve()
    }
    stream.on('drain', go)
    stream.on('close', go)
  })
}

function header(stream: number, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.writeUInt32LE(stream, 0)
  bytes.writeUInt32LE(length, 4)
  return bytes
}

/** The worker's end: hands out the streams by number and drops what nobody reads any more. */
export class ImportLane {
  readonly #streams = new Map<number, PassThrough>()
  /** Streams whose reader left before their end came. */
  readonly #abandoned = new Set<number>()

  /** Reads frames until the lane ends; then streams that are not complete break off. */
  async run(lane: AsyncIterable<Buffer>): Promise<void> {
    try {
      await this.#readFrames(lane)
    } finally {
      for (const stream of this.#streams.values()) stream.destroy(brokenOff())
    }
  }

  /** The stream of this number; it may not have begun. */
  open(stream: number): Readable {
    return this.#streamOf(stream)
  }

  /** Says that nobody reads the stream any more. */
  close(stream: number): void {
    const open = this.#streams.get(stream)
    if (open === undefined) return
    if (!open.writableEnded) this.#abandoned.add(stream)
    this.#streams.delete(stream)
    open.destroy()
  }

  async #readFrames(lane: AsyncIterable<Buffer>): Promise<void> {
    let pending: Buffer = Buffer.alloc(0)
    let current: { stream: number; remaining: number } | undefined
    for await (const chunk of lane) {
      let bytes = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      for (;;) {
        if (current === undefined) {
          if (bytes.length < HEADER_BYTES) break
          const stream = bytes.readUInt32LE(0)
          const length = bytes.readUInt32LE(4)
          bytes = bytes.subarray(HEADER_BYTES)
          if (length === 0 || length === BROKEN_OFF) this.#finish(stream, length === BROKEN_OFF)
          else current = { stream, remaining: length }
        } else {
          if (bytes.length === 0) break
          const part = bytes.subarray(0, current.remaining)
          bytes = bytes.subarray(part.length)
          await this.#deliver(current.stream, part)
          current.remaining -= part.length
          if (current.remaining === 0) current = undefined
        }
      }
      pending = bytes
    }
  }

  async #deliver(stream: number, bytes: Buffer): Promise<void> {
    if (this.#abandoned.has(stream)) return
    const open = this.#streamOf(stream)
    if (!open.write(bytes) && !open.destroyed) await roomIn(open)
  }

  #finish(stream: number, isBrokenOff: boolean): void {
    if (this.#abandoned.delete(stream)) return
    const open = this.#streamOf(stream)
    if (isBrokenOff) open.destroy(brokenOff())
    else open.end()
  }

  #streamOf(stream: number): PassThrough {
    const known = this.#streams.get(stream)
    if (known !== undefined) return known
    const fresh = new PassThrough({ highWaterMark: MAX_PAYLOAD_BYTES })
    // Its reader hears of a break; before there is one, an unheard error would end the process.
    fresh.on('error', () => {})
    this.#streams.set(stream, fresh)
    return fresh
  }
}

function brokenOff(): OciError {
  return new OciError('oci.cancelled', 'Cannot import the archive: whoever sent it broke off')
}
