// Frames as a guest sends them, well-formed unless a test asks for a lie: virtio-net header, Ethernet, IP, and TCP, UDP or ICMP
// with full checksums.
import { parseAddress } from '../address.ts'

/** A checksum said slowly, apart from the code under test (RFC 1071 §4.1). */
export function slowChecksum(...parts: readonly Uint8Array[]): number {
  const bytes = Buffer.concat(parts.map((part) => Buffer.from(part)))
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  while (sum > 0xffff) sum = (sum % 0x1_0000) + Math.floor(sum / 0x1_0000)
  return ~sum & 0xffff
}

export interface VirtioHeader {
  readonly flags?: number
  readonly gsoType?: number
  readonly headerLength?: number
  readonly gsoSize?: number
  readonly checksumStart?: number
  readonly checksumOffset?: number
}

export interface PacketOptions {
  readonly source: string
  readonly destination: string
  readonly protocol: number
  readonly hopLimit?: number
  readonly payload: Uint8Array
  /** IPv4: bytes of options, a multiple of four. IPv6: extension headers, the first of this type. */
  readonly options?: Uint8Array
  readonly extension?: { readonly type: number; readonly bytes: Uint8Array }
  /** IPv4's flags and offset. */
  readonly fragment?: number
  readonly identification?: number
}

export interface FrameOptions extends PacketOptions {
  readonly virtio?: VirtioHeader
  readonly sourceMac?: Uint8Array
  readonly destinationMac?: Uint8Array
}

export const GATEWAY_MAC = Uint8Array.of(0x02, 0x42, 0x4b, 0, 0, 1)
export const GUEST_MAC = Uint8Array.of(0, 0x16, 0x3e, 1, 2, 3)

/** A whole frame with its virtio-net header. */
export function guestFrame(options: FrameOptions): Buffer {
  const packet = ipPacket(options)
  const type = options.source.includes(':') ? 0x86dd : 0x0800
  return etherFrame(type, packet, options)
}

export function etherFrame(
  etherType: number,
  payload: Uint8Array,
  options: Pick<FrameOptions, 'virtio' | 'sourceMac' | 'destinationMac'> = {},
): Buffer {
  const head = Buffer.alloc(24)
  const { flags = 0, gsoType = 0, headerLength = 0, gsoSize = 0 } = options.virtio ?? {}
  const { checksumStart = 0, checksumOffset = 0 } = options.virtio ?? {}
  head.writeUInt8(flags, 0)
  head.writeUInt8(gsoType, 1)
  head.writeUInt16LE(headerLength, 2)
  head.writeUInt16LE(gsoSize, 4)
  head.writeUInt16LE(checksumStart, 6)
  head.writeUInt16LE(checksumOffset, 8)
  head.set(options.destinationMac ?? GATEWAY_MAC, 10)
  head.set(options.sourceMac ?? GUEST_MAC, 16)
  head.writeUInt16BE(etherType, 22)
  return Buffer.concat([head, payload])
}

export function ipPacket(packet: PacketOptions): Buffer {
  return packet.source.includes(':') ? ipv6Packet(packet) : ipv4Packet(packet)
}

function ipv4Packet({
  source,
  destination,
  protocol,
  hopLimit = 64,
  payload,
  ...rest
}: PacketOptions): Buffer {
  const options = rest.options ?? new Uint8Array(0)
  const head = Buffer.alloc(20 + options.length)
  head.writeUInt8(0x40 | (head.length / 4), 0)
  head.writeUInt16BE(head.length + payload.length, 2)
  head.writeUInt16BE(rest.identification ?? 0, 4)
  head.writeUInt16BE(rest.fragment ?? 0x4000, 6)
  head.writeUInt8(hopLimit, 8)
  head.writeUInt8(protocol, 9)
  head.writeInt32BE(parseAddress(source)[3], 12)
  head.writeInt32BE(parseAddress(destination)[3], 16)
  head.set(options, 20)
  head.writeUInt16BE(slowChecksum(head), 10)
  return Buffer.concat([head, payload])
}

function ipv6Packet({
  source,
  destination,
  protocol,
  hopLimit = 64,
  payload,
  extension,
}: PacketOptions): Buffer {
  const head = Buffer.alloc(40)
  const rest = extension === undefined ? payload : Buffer.concat([extension.bytes, payload])
  head.writeUInt8(0x60, 0)
  head.writeUInt16BE(rest.length, 4)
  head.writeUInt8(extension?.type ?? protocol, 6)
  head.writeUInt8(hopLimit, 7)
  head.set(addressBytes(source), 8)
  head.set(addressBytes(destination), 24)
  return Buffer.concat([head, rest])
}

/** 4 or 16 bytes. */
export function addressBytes(text: string): Buffer {
  const bytes = Buffer.alloc(16)
  for (const [index, word] of parseAddress(text).entries()) bytes.writeInt32BE(word, index * 4)
  return text.includes(':') ? bytes : bytes.subarray(12)
}

function pseudoHeader(source: string, destination: string, protocol: number, length: number): Buffer {
  const tail = Buffer.alloc(8)
  tail.writeUInt32BE(length, 0)
  tail.writeUInt8(protocol, 7)
  return Buffer.concat([addressBytes(source), addressBytes(destination), tail])
}

export interface Ends {
  readonly source: string
  readonly destination: string
  readonly sourcePort: number
  readonly destinationPort: number
}

/** A UDP datagram with its checksum. */
export function udpDatagram(ends: Ends, data: Uint8Array): Buffer {
  const datagram = Buffer.concat([Buffer.alloc(8), data])
  datagram.writeUInt16BE(ends.sourcePort, 0)
  datagram.writeUInt16BE(ends.destinationPort, 2)
  datagram.writeUInt16BE(datagram.length, 4)
  const pseudo = pseudoHeader(ends.source, ends.destination, 17, datagram.length)
  datagram.writeUInt16BE(slowChecksum(pseudo, datagram) || 0xffff, 6)
  return datagram
}

export interface SegmentOptions extends Ends {
  readonly flags: number
  readonly sequence?: number
  readonly acknowledgment?: number
  readonly window?: number
  readonly options?: Uint8Array
  readonly data?: Uint8Array
}

/** A TCP segment with its checksum. */
export function tcpSegment(segment: SegmentOptions): Buffer {
  const options = segment.options ?? new Uint8Array(0)
  const bytes = Buffer.concat([Buffer.alloc(20), options, segment.data ?? new Uint8Array(0)])
  bytes.writeUInt16BE(segment.sourcePort, 0)
  bytes.writeUInt16BE(segment.destinationPort, 2)
  bytes.writeUInt32BE((segment.sequence ?? 0) >>> 0, 4)
  bytes.writeUInt32BE((segment.acknowledgment ?? 0) >>> 0, 8)
  bytes.writeUInt8(((20 + options.length) / 4) << 4, 12)
  bytes.writeUInt8(segment.flags, 13)
  bytes.writeUInt16BE(segment.window ?? 65_535, 14)
  const pseudo = pseudoHeader(segment.source, segment.destination, 6, bytes.length)
  bytes.writeUInt16BE(slowChecksum(pseudo, bytes), 16)
  return bytes
}

/** An ICMP or, between IPv6 addresses, ICMPv6 message with its checksum. `rest` follows the checksum. */
export function icmpMessage(
  source: string,
  destination: string,
  type: number,
  code: number,
  rest: Uint8Array,
): Buffer {
  const message = Buffer.concat([Buffer.of(type, code, 0, 0), rest])
  const isIpv6 = source.includes(':')
  const pseudo = isIpv6 ? pseudoHeader(source, destination, 58, message.length) : Buffer.alloc(0)
  message.writeUInt16BE(slowChecksum(pseudo, message), 2)
  return message
}

/** An echo request to `destination`. */
export function echoFrame(
  source: string,
  destination: string,
  data = Buffer.from('echo'),
  hopLimit = 64,
): Buffer {
  const isIpv6 = source.includes(':')
  const rest = Buffer.concat([Buffer.of(0x12, 0x34, 0, 1), data])
  return guestFrame({
    source,
    destination,
    protocol: isIpv6 ? 58 : 1,
    hopLimit,
    payload: icmpMessage(source, destination, isIpv6 ? 128 : 8, 0, rest),
  })
}

/** A UDP frame. */
export function udpFrame(ends: Ends, data: Uint8Array, options: Partial<FrameOptions> = {}): Buffer {
  return guestFrame({ ...ends, protocol: 17, payload: udpDatagram(ends, data), ...options })
}

/** A TCP frame. */
export function tcpFrame(segment: SegmentOptions, options: Partial<FrameOptions> = {}): Buffer {
  const { source, destination } = segment
  return guestFrame({ source, destination, protocol: 6, payload: tcpSegment(segment), ...options })
}
