// Carries the bytes of archives between the core host and the image worker, both ways, over a socket pair beside the
// RPC's (descriptor 4 of the worker), so that neither side needs a name in the file system that the other could put
// something under. Many streams share it, each with a number of the core host's; one that nobody reads holds up no other.
//
// A frame is `stream u32, kind u32, value u32`, little-endian. `data` is followed by `value` bytes (at most 256 KiB);
// `end` and `broken` end a stream, whole or not; `credit` allows the sender `value` bytes more (it begins with none);
// `leave` says that nobody reads any more. Both sides check the other's frames: the worker may have been taken over.

import type { Duplex } from 'node:stream'
import { OciError } from './errors.ts'
import { LaneReceiver } from './lane-receiver.ts'
import { LaneSender } from './lane-sender.ts'

const FRAME = { data: 1, end: 2, broken: 3, credit: 4, leave: 5 } as const
const WINDOW_BYTES = 1024 * 1024
const PAYLOAD_BYTES = 256 * 1024
const HEADER_BYTES = 12
/** Far more than there are calls under way at any time. */
const MAX_SENDERS = 1024

export class ByteLane {
  readonly #socket: Duplex
  readonly #receivers = new Map<number, LaneReceiver>()
  /** Until the other side has left: from the first credit that came for it, be that before the sending began. */
  readonly #senders = new Map<number, LaneSender>()
  readonly #onBroken: (reason: string) => void
  #pending: Buffer = Buffer.alloc(0)
  /** Of the data frame that is coming. */
  #payload = { stream: 0, remainingBytes: 0 }
  #isOver = false

  /** Reads the socket from now on. `onBroken` hears of frames that break the rules; the lane is over then. */
  constructor(socket: Duplex, onBroken: (reason: string) => void) {
    this.#socket = socket
    this.#onBroken = onBroken
    // Each stream that waits for room listens.
    socket.setMaxListeners(0)
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => {})
    socket.once('end', () => this.close())
    socket.once('close', () => this.close())
  }

  /** The bytes that the other side sends under this number. To be closed, read to its end or not. */
  receive(stream: number): LaneReceiver {
    const receiver = new LaneReceiver({
      windowBytes: WINDOW_BYTES,
      allow: (bytes) => this.#write(stream, 'credit', bytes),
      leave: () => {
        this.#receivers.delete(stream)
        this.#write(stream, 'leave', 0)
      },
    })
    if (this.#isOver) receiver.break(laneOver())
    else this.#receivers.set(stream, receiver)
    return receiver
  }

  /**
   * Sends a whole stream as fast as the other side reads it; resolves early when it reads no more. When the source fails,
   * the other side is told and the source's error is thrown. Throws `oci.worker-died` when the lane ends before, and
   * `oci.cancelled`.
   */
  async send(stream: number, source: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> {
    if (this.#isOver) throw laneOver()
    const sender = this.#senderOf(stream)
    try {
      await sender.send(source, signal)
      await sender.heard()
      this.#write(stream, 'end', 0)
    } catch (error) {
      await sender.heard()
      this.#write(stream, 'broken', 0)
      throw error
    } finally {
      if (sender.isStopped) this.#senders.delete(stream)
    }
  }

  /** Breaks off all that is not complete. */
  close(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#socket.destroy()
    for (const receiver of this.#receivers.values()) receiver.break(laneOver())
    for (const sender of this.#senders.values()) sender.break(laneOver())
  }

  #write(stream: number, kind: keyof typeof FRAME, value: number, payload?: Uint8Array): void {
    if (this.#isOver || !this.#socket.writable) return
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt32LE(stream, 0)
    header.writeUInt32LE(FRAME[kind], 4)
    header.writeUInt32LE(value, 8)
    this.#socket.cork()
    this.#socket.write(header)
    if (payload !== undefined) this.#socket.write(payload)
    this.#socket.uncork()
  }

  #drained(): Promise<void> {
    const socket = this.#socket
    if (!socket.writableNeedDrain || this.#isOver) return Promise.resolve()
    return new Promise((resolve) => {
      const go = () => {
        socket.off('drain', go).off('close', go)
        resolve()
      }
      socket.on('drain', go).on('close', go)
    })
  }

  #read(chunk: Buffer): void {
    let bytes = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    while (!this.#isOver) {
      if (this.#payload.remainingBytes > 0) {
        const part = bytes.subarray(0, this.#payload.remainingBytes)
        if (part.length === 0) break
        bytes = bytes.subarray(part.length)
        this.#payload.remainingBytes -= part.length
        this.#deliver(this.#payload.stream, part)
      } else {
        if (bytes.length < HEADER_BYTES) break
        this.#take(bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(8))
        bytes = bytes.subarray(HEADER_BYTES)
      }
    }
    this.#pending = bytes
  }

  #take(stream: number, kind: number, value: number): void {
    switch (kind) {
      case FRAME.data:
        if (value > PAYLOAD_BYTES) this.#fail(`a frame of ${value} bytes came`)
        this.#payload = { stream, remainingBytes: value }
        return
      case FRAME.end:
        this.#receivers.get(stream)?.end()
        return
      case FRAME.broken:
        this.#receivers.get(stream)?.break(brokenOff())
        return
      case FRAME.credit:
        this.#senderOf(stream).allow(value)
        return
      case FRAME.leave:
        this.#leave(stream)
        return
      default:
        this.#fail(`a frame of the kind ${kind} came`)
    }
  }

  #deliver(stream: number, bytes: Buffer): void {
    // What comes for a stream that was left was on its way already.
    if (this.#receivers.get(stream)?.push(bytes) === false)
      this.#fail(`stream ${stream} sent more than it may`)
  }

  #leave(stream: number): void {
    const sender = this.#senderOf(stream)
    sender.stop()
    if (sender.isOver) this.#senders.delete(stream)
  }

  #senderOf(stream: number): LaneSender {
    const known = this.#senders.get(stream)
    if (known !== undefined) return known
    const sender = new LaneSender({
      largestBytes: PAYLOAD_BYTES,
      write: (bytes) => this.#write(stream, 'data', bytes.length, bytes),
      drained: () => this.#drained(),
    })
    this.#senders.set(stream, sender)
    if (this.#senders.size > MAX_SENDERS) this.#fail('too many streams are waited for')
    return sender
  }

  #fail(reason: string): void {
    this.close()
    this.#onBroken(`The lane of archives broke: ${reason}`)
  }
}

function laneOver(): OciError {
  return new OciError('oci.worker-died', 'Cannot pass the archive on: the other process has ended')
}

function brokenOff(): OciError {
  return new OciError('oci.cancelled', 'Cannot read the archive to its end: whoever sent it broke off')
}
