// Finds the compressed kernel inside a Linux bzImage. Source: Linux Documentation/arch/x86/boot.rst (setup
// header, boot protocol 2.08 and later: payload_offset and payload_length).

import { KernelError } from './kernel-error.ts'

/** Where the compressed ELF lies in the file, in bytes. */
export interface PayloadRange {
  readonly offset: number
  readonly length: number
}

const SETUP_HEADER = {
  setupSectors: 0x1f1,
  magic: 0x202,
  version: 0x206,
  payloadOffset: 0x248,
  payloadLength: 0x24c,
} as const
const MAGIC_HDRS = 0x53726448
const PROTOCOL_WITH_PAYLOAD = 0x0208
const SECTOR_BYTES = 512

/** Bytes at the start of the file that `isBzImage` and `findPayload` need. */
export const BZIMAGE_HEADER_BYTES = 0x250

export function isBzImage(head: Uint8Array): boolean {
  return (
    head.length >= BZIMAGE_HEADER_BYTES && viewOf(head).getUint32(SETUP_HEADER.magic, true) === MAGIC_HDRS
  )
}

/** The payload's place, checked against the file's size. `head` is the beginning of the file. */
export function findPayload(head: Uint8Array, fileSizeBytes: number): PayloadRange {
  const view = viewOf(head)
  const version = view.getUint16(SETUP_HEADER.version, true)
  if (version < PROTOCOL_WITH_PAYLOAD) {
    throw new KernelError(
      'not-a-kernel',
      `Cannot use kernel image: its boot protocol is ${version >> 8}.${version & 0xff}, 2.08 or later is needed`,
    )
  }
  // A zero means four: boot.rst, field setup_sects.
  const setupSectors = view.getUint8(SETUP_HEADER.setupSectors) || 4
  const offset = (setupSectors + 1) * SECTOR_BYTES + view.getUint32(SETUP_HEADER.payloadOffset, true)
  const length = view.getUint32(SETUP_HEADER.payloadLength, true)
  if (length === 0 || offset + length > fileSizeBytes) {
    throw new KernelError(
      'malformed',
      `Cannot use kernel image: its payload is ${length} bytes at ${offset}, the file has ${fileSizeBytes}`,
    )
  }
  return { offset, length }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
