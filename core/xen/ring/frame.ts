// Frames of the control channel as bytes (docs/contracts/channel.md, "Frame"). Which types there are and what
// their payloads mean is decided above; here only what keeps the ring in order is checked.
import { structLayout, u16, u32 } from '../../sys/struct-layout.ts'
import type { XenError } from '../errors.ts'
import { ringViolation } from './ring-violation.ts'

export interface Frame {
  readonly type: number
  readonly stream: number
  readonly container: number
  readonly payload: Uint8Array
}

export const MAX_FRAME_PAYLOAD_BYTES = 16384
const ALIGNMENT_BYTES = 8

const header = structLayout('frame header', 16, {
  length: u32(0),
  type: u16(4),
  flags: u16(6),
  stream: u32(8),
  container: u32(12),
})

/** Bytes that a payload takes in the ring: header, payload, padding. */
export function frameSizeBytes(payloadBytes: number): number {
  return header.sizeBytes + Math.ceil(payloadBytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
}

/** Writes a frame into zeroed memory; returns where the next one goes. */
export function encodeFrame(target: Uint8Array<ArrayBuffer>, offset: number, frame: Frame): number {
  const fields = header.at(new DataView(target.buffer, target.byteOffset, target.byteLength), offset)
  fields.length = frame.payload.length
  fields.type = frame.type
  fields.stream = frame.stream
  fields.container = frame.container
  target.set(frame.payload, offset + header.sizeBytes)
  return offset + frameSizeBytes(frame.payload.length)
}

/**
 * Cuts private memory, copied from a ring, into frames; payloads are views of it. Throws XenError
 * `guest-protocol` unless it holds whole frames and nothing else.
 */
export function decodeFrames(bytes: Uint8Array<ArrayBuffer>): readonly Frame[] {
  const frames: Frame[] = []
  walkFrames(bytes, (fields, start) => {
    const { type, stream, container, length } = fields
    frames.push({ type, stream, container, payload: bytes.subarray(start, start + length) })
  })
  return frames
}

/** Throws XenError `guest-protocol` unless `bytes` holds whole frames and nothing else. */
export function checkFrames(bytes: Uint8Array<ArrayBuffer>): void {
  walkFrames(bytes, () => {})
}

function walkFrames(
  bytes: Uint8Array<ArrayBuffer>,
  visit: (fields: ReturnType<typeof header.at>, payloadStart: number) => void,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let offset = 0; offset < bytes.length; ) {
    if (bytes.length - offset < header.sizeBytes) throw violation('ends a frame inside its header')
    const fields = header.at(view, offset)
    const { length, flags } = fields
    if (length > MAX_FRAME_PAYLOAD_BYTES) {
      throw violation(`sent a frame of ${length} bytes, ${MAX_FRAME_PAYLOAD_BYTES} are the most`)
    }
    if (flags !== 0) throw violation(`sent a frame with the unknown flags 0x${flags.toString(16)}`)
    const end = offset + frameSizeBytes(length)
    if (end > bytes.length) throw violation('ends a frame inside its payload')
    visit(fields, offset + header.sizeBytes)
    offset = end
  }
}

function violation(what: string): XenError {
  return ringViolation('control channel', what)
}
