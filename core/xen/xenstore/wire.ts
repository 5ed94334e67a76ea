// Xenstore's messages as bytes. Source: xen/include/public/io/xs_wire.h, docs/misc/xenstore.txt.
import { structLayout, u32 } from '../../sys/struct-layout.ts'
import { XenError } from '../errors.ts'

/** XS_* message types. */
export const MESSAGE = {
  directory: 1,
  read: 2,
  getPermissions: 3,
  watch: 4,
  unwatch: 5,
  transactionStart: 6,
  transactionEnd: 7,
  introduce: 8,
  release: 9,
  write: 11,
  makeDirectory: 12,
  remove: 13,
  setPermissions: 14,
  watchEvent: 15,
  error: 16,
  isDomainIntroduced: 17,
  directoryPart: 22,
} as const

const header = structLayout('struct xsd_sockmsg', 16, {
  type: u32(0),
  requestId: u32(4),
  transactionId: u32(8),
  length: u32(12),
})
export const HEADER_BYTES = header.sizeBytes
/** XENSTORE_PAYLOAD_MAX: no message of either side is longer. */
export const MAX_PAYLOAD_BYTES = 4096

export interface Message {
  readonly type: number
  readonly requestId: number
  readonly transactionId: number
  readonly payload: Buffer
}

export function encodeMessage({ type, requestId, transactionId, payload }: Message): Buffer<ArrayBuffer> {
  const message = Buffer.alloc(HEADER_BYTES + payload.length)
  const fields = header.at(new DataView(message.buffer, message.byteOffset, HEADER_BYTES))
  fields.type = type
  fields.requestId = requestId
  fields.transactionId = transactionId
  fields.length = payload.length
  message.set(payload, HEADER_BYTES)
  return message
}

/** Cuts a stream of bytes into messages. */
export class MessageDecoder {
  #pending: Buffer<ArrayBuffer> = Buffer.alloc(0)

  /** The messages that are complete with these bytes. Throws XenError when a length cannot be right. */
  push(chunk: Uint8Array): readonly Message[] {
    let input = this.#pending.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#pending, chunk])
    const messages: Message[] = []
    while (input.length >= HEADER_BYTES) {
      const { type, requestId, transactionId, length } = header.at(
        new DataView(input.buffer, input.byteOffset, HEADER_BYTES),
      )
      if (length > MAX_PAYLOAD_BYTES) {
        throw new XenError(
          'xenstore-protocol',
          `Cannot read from xenstored: a message claims ${length} bytes, ${MAX_PAYLOAD_BYTES} are the most`,
        )
      }
      if (input.length < HEADER_BYTES + length) break
      messages.push({
        type,
        requestId,
        transactionId,
        payload: input.subarray(HEADER_BYTES, HEADER_BYTES + length),
      })
      input = input.subarray(HEADER_BYTES + length)
    }
    this.#pending = input
    return messages
  }
}

/** Joins strings as xenstore wants them: each followed by NUL. */
export function encodeStrings(...strings: readonly string[]): Buffer {
  return Buffer.from(strings.map((text) => `${text}\0`).join(''), 'latin1')
}

/** Splits NUL-terminated strings; a missing last NUL is forgiven. */
export function decodeStrings(payload: Buffer): readonly string[] {
  const parts = payload.toString('latin1').split('\0')
  if (parts.at(-1) === '') parts.pop()
  return parts
}

/** The first NUL-terminated string (`OK`, an error's name, a transaction's number). */
export function decodeText(payload: Buffer): string {
  const end = payload.indexOf(0)
  return payload.subarray(0, end < 0 ? payload.length : end).toString('latin1')
}
