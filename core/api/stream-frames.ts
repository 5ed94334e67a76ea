// Frames of a stream connection: encoder and incremental decoder. docs/contracts/streams.md.

export const frameHeaderBytes = 14
export const maxFramePayloadBytes = 65536

const kinds = ['data', 'skip', 'end', 'resize', 'ack', 'exit', 'signal', 'error'] as const
export type StreamFrameKind = (typeof kinds)[number]

export interface StreamFrame {
  readonly kind: StreamFrameKind
  /** 0 stdin, 1 stdout (also terminal, console, log), 2 stderr. */
  readonly stream: number
  readonly offset: number
  readonly payload: Uint8Array
}

const nothing = new Uint8Array(0)

/** One frame as bytes: 14 bytes of header, then the payload (at most 65536 bytes). */
export function encodeStreamFrame(
  kind: StreamFrameKind,
  stream: number,
  offset: number,
  payload: Uint8Array = nothing,
): Uint8Array {
  if (payload.length > maxFramePayloadBytes)
    throw new RangeError(`A frame of ${payload.length} bytes is longer than ${maxFramePayloadBytes}`)
  const bytes = new Uint8Array(frameHeaderBytes + payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, kinds.indexOf(kind) + 1)
  view.setUint8(1, stream)
  view.setUint32(2, payload.length, true)
  view.setBigUint64(6, BigInt(offset), true)
  bytes.set(payload, frameHeaderBytes)
  return bytes
}

/** Cuts a byte stream into frames; throws a sentence at the first byte that is not one. */
export class StreamFrameDecoder {
  #pending: Uint8Array = nothing

  /** Bytes kept because their frame is not complete. */
  get pendingBytes(): number {
    return this.#pending.length
  }

  /** Frames that `chunk` completes. Their payloads may share memory with `chunk`. */
  push(chunk: Uint8Array): StreamFrame[] {
    let bytes = chunk
    if (this.#pending.length > 0) {
      bytes = new Uint8Array(this.#pending.length + chunk.length)
      bytes.set(this.#pending)
      bytes.set(chunk, this.#pending.length)
    }
    const frames: StreamFrame[] = []
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let at = 0
    while (bytes.length - at >= frameHeaderBytes) {
      const kind = kinds[view.getUint8(at) - 1]
      if (kind === undefined) throw new RangeError(`A stream frame has the unknown kind ${view.getUint8(at)}`)
      const length = view.getUint32(at + 2, true)
      if (length > maxFramePayloadBytes)
        throw new RangeError(`A stream frame announces ${length} bytes, the limit is ${maxFramePayloadBytes}`)
      const offset = view.getBigUint64(at + 6, true)
      if (offset > BigInt(Number.MAX_SAFE_INTEGER))
        throw new RangeError(`A stream frame has the offset ${offset}`)
      const end = at + frameHeaderBytes + length
      if (end > bytes.length) break
      frames.push({
        kind,
        stream: view.getUint8(at + 1),
        offset: Number(offset),
        payload: bytes.subarray(at + frameHeaderBytes, end),
      })
      at = end
    }
    // A copy, so that a small rest does not keep a large chunk alive.
    this.#pending = at === bytes.length ? nothing : bytes.slice(at)
    return frames
  }
}
