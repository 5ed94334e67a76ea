// The blocks of a pcapng file: what Wireshark, tshark and tcpdump read. Everything is little endian and padded to 32 bits; a
// block says its length at its beginning and at its end. Source: draft-ietf-opsawg-pcapng §3.1 (blocks), §3.5 (options),
// §4.1–4.6.
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'

const SECTION_HEADER = 0x0a0d_0d0a
const INTERFACE_DESCRIPTION = 1
const INTERFACE_STATISTICS = 5
const ENHANCED_PACKET = 6
const BYTE_ORDER_MAGIC = 0x1a2b_3c4d
const LINKTYPE_ETHERNET = 1
/** Type and length at the beginning, length at the end. */
const BLOCK_FRAME_BYTES = 12

const OPT_END = 0
const OPT_COMMENT = 1
const SHB_USERAPPL = 4
const IF_NAME = 2
const IF_DESCRIPTION = 3
const IF_MAC_ADDRESS = 6
const IF_TIMESTAMP_RESOLUTION = 9
const ISB_STARTTIME = 2
const ISB_ENDTIME = 3
const ISB_IFRECV = 4
const ISB_IFDROP = 5
const ISB_OSDROP = 7
const EPB_FLAGS = 2

/** Timestamps count units of 10^-6 s. */
const MICROSECONDS = 6
const TWO_TO_32 = 4_294_967_296

export interface CaptureInterface {
  readonly name: string
  readonly description: string
  readonly comment: string
  readonly mac: Uint8Array
  /** Of each frame at most so many bytes are kept. */
  readonly frameBytes: number
}

export interface InterfaceStatistics {
  readonly startUs: number
  readonly endUs: number
  readonly received: number
  /** By the capture, since the reader was too slow. */
  readonly dropped: number
  /** By the kernel, before they reached us. */
  readonly droppedByKernel: number
}

/** The beginning of a file: one section with one interface. */
export function writeHeaderBlocks(into: CaptureInterface): Uint8Array {
  const section = Buffer.alloc(16)
  section.writeUInt32LE(BYTE_ORDER_MAGIC, 0)
  section.writeUInt16LE(1, 4)
  // How long the section is, nobody knows yet.
  section.writeBigInt64LE(-1n, 8)
  const description = Buffer.alloc(8)
  description.writeUInt16LE(LINKTYPE_ETHERNET, 0)
  description.writeUInt32LE(into.frameBytes, 4)
  return Buffer.concat([
    block(SECTION_HEADER, section, [option(SHB_USERAPPL, Buffer.from('Bulkhead'))]),
    block(INTERFACE_DESCRIPTION, description, [
      option(IF_NAME, Buffer.from(into.name)),
      option(IF_DESCRIPTION, Buffer.from(into.description)),
      option(OPT_COMMENT, Buffer.from(into.comment)),
      option(IF_MAC_ADDRESS, into.mac),
      option(IF_TIMESTAMP_RESOLUTION, Uint8Array.of(MICROSECONDS)),
    ]),
  ])
}

/** The end of a file: what was counted. */
export function writeStatisticsBlock(statistics: InterfaceStatistics): Uint8Array {
  const body = Buffer.alloc(12)
  timestamp(statistics.endUs).copy(body, 4)
  return block(INTERFACE_STATISTICS, body, [
    option(ISB_STARTTIME, timestamp(statistics.startUs)),
    option(ISB_ENDTIME, timestamp(statistics.endUs)),
    option(ISB_IFRECV, count(statistics.received)),
    option(ISB_IFDROP, count(statistics.dropped)),
    option(ISB_OSDROP, count(statistics.droppedByKernel)),
  ])
}

/** Of every `writeStatisticsBlock()`. */
export const STATISTICS_BLOCK_BYTES = BLOCK_FRAME_BYTES + 12 + 5 * 12 + 4

/** Where the bytes of a frame begin in its block. */
export const PACKET_DATA = 28
/** The flags and the end of the options. */
const PACKET_OPTIONS_BYTES = 12

/** How large the block of a frame is of which `capturedBytes` are kept. */
export function packetBlockBytes(capturedBytes: number): number {
  return PACKET_DATA + padded(capturedBytes) + PACKET_OPTIONS_BYTES + 4
}

/**
 * Writes the block around a frame whose bytes are at `at + PACKET_DATA` already. `isInbound`: as seen from the guest.
 * `wireBytes`: of the whole frame.
 */
export function writePacketBlock(
  target: PinnedBuffer,
  at: number,
  isInbound: boolean,
  timeUs: number,
  capturedBytes: number,
  wireBytes: number,
): void {
  const { view, bytes } = target
  const blockBytes = packetBlockBytes(capturedBytes)
  view.setUint32(at, ENHANCED_PACKET, true)
  view.setUint32(at + 4, blockBytes, true)
  view.setUint32(at + 8, 0, true)
  view.setUint32(at + 12, Math.floor(timeUs / TWO_TO_32), true)
  view.setUint32(at + 16, timeUs % TWO_TO_32, true)
  view.setUint32(at + 20, capturedBytes, true)
  view.setUint32(at + 24, wireBytes, true)
  const dataEnd = at + PACKET_DATA + capturedBytes
  const options = at + PACKET_DATA + padded(capturedBytes)
  bytes.fill(0, dataEnd, options)
  view.setUint16(options, EPB_FLAGS, true)
  view.setUint16(options + 2, 4, true)
  view.setUint32(options + 4, isInbound ? 1 : 2, true)
  view.setUint32(options + 8, OPT_END, true)
  view.setUint32(options + 12, blockBytes, true)
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3
}

function block(type: number, body: Uint8Array, options: readonly Uint8Array[]): Buffer {
  const length = BLOCK_FRAME_BYTES + body.length + options.reduce((sum, { length }) => sum + length, 4)
  const head = Buffer.alloc(8)
  head.writeUInt32LE(type, 0)
  head.writeUInt32LE(length, 4)
  const tail = Buffer.alloc(4)
  tail.writeUInt32LE(length, 0)
  return Buffer.concat([head, body, ...options, Buffer.alloc(4), tail])
}

function option(code: number, value: Uint8Array): Uint8Array {
  const whole = Buffer.alloc(4 + padded(value.length))
  whole.writeUInt16LE(code, 0)
  whole.writeUInt16LE(value.length, 2)
  whole.set(value, 4)
  return whole
}

/** A time is written with its upper half first (§4.3). */
function timestamp(timeUs: number): Buffer {
  const value = Buffer.alloc(8)
  value.writeUInt32LE(Math.floor(timeUs / TWO_TO_32), 0)
  value.writeUInt32LE(timeUs % TWO_TO_32, 4)
  return value
}

function count(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value), 0)
  return bytes
}
