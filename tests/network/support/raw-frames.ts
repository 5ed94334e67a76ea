// Frames as a hostile guest makes them: every field can be given, nothing is checked. Transport checksums are not summed:
// the virtio-net header says that they are known to be right (DATA_VALID), as a guest's own kernel would say of its peers'.
import { parseAddress } from '../../../core/net/address.ts'
import { GATEWAY } from './guest.ts'

export const DATA_VALID = 2
export const NEEDS_CHECKSUM = 1

export interface VirtioHeader {
  readonly flags?: number
  readonly gsoType?: number
  readonly headerBytes?: number
  readonly segmentBytes?: number
  readonly checksumStart?: number
  readonly checksumOffset?: number
}

export interface FrameEnds {
  readonly sourceMac: string
  readonly destinationMac?: string
}

/** A whole frame. */
export function frame(
  { sourceMac, destinationMac = GATEWAY.mac }: FrameEnds,
  etherType: number,
  packet: Uint8Array,
  virtio: VirtioHeader = {},
): Buffer {
  const head = Buffer.alloc(24)
  head.writeUInt8(virtio.flags ?? DATA_VALID, 0)
  head.writeUInt8(virtio.gsoType ?? 0, 1)
  head.writeUInt16LE(virtio.headerBytes ?? 0, 2)
  head.writeUInt16LE(virtio.segmentBytes ?? 0, 4)
  head.writeUInt16LE(virtio.checksumStart ?? 0, 6)
  head.writeUInt16LE(virtio.checksumOffset ?? 0, 8)
  macBytes(destinationMac).copy(head, 10)
  macBytes(sourceMac).copy(head, 16)
  head.writeUInt16BE(etherType, 22)
  return Buffer.concat([head, packet])
}

export interface Ipv4Fields {
  readonly source: string
  readonly destination: string
  readonly protocol: number
  readonly hopLimit?: number
  readonly identification?: number
  readonly moreFragments?: boolean
  /** In bytes. */
  readonly fragmentOffset?: number
  /** Instead of what is true, in bytes. */
  readonly headerBytes?: number
  readonly totalBytes?: number
}

export function ipv4(fields: Ipv4Fields, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(20)
  head.writeUInt8(0x40 | ((fields.headerBytes ?? 20) >> 2), 0)
  head.writeUInt16BE(fields.totalBytes ?? 20 + payload.length, 2)
  head.writeUInt16BE(fields.identification ?? 0, 4)
  head.writeUInt16BE((fields.moreFragments ? 0x2000 : 0) | ((fields.fragmentOffset ?? 0) >> 3), 6)
  head.writeUInt8(fields.hopLimit ?? 64, 8)
  head.writeUInt8(fields.protocol, 9)
  addressBytes(fields.source).copy(head, 12)
  addressBytes(fields.destination).copy(head, 16)
  head.writeUInt16BE(internetChecksum(head), 10)
  return Buffer.concat([head, payload])
}

export interface Ipv6Fields {
  readonly source: string
  readonly destination: string
  readonly nextHeader: number
  readonly hopLimit?: number
  readonly payloadBytes?: number
}

export function ipv6(fields: Ipv6Fields, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(40)
  head.writeUInt8(0x60, 0)
  head.writeUInt16BE(fields.payloadBytes ?? payload.length, 4)
  head.writeUInt8(fields.nextHeader, 6)
  head.writeUInt8(fields.hopLimit ?? 64, 7)
  addressBytes(fields.source).copy(head, 8)
  addressBytes(fields.destination).copy(head, 24)
  return Buffer.concat([head, payload])
}

export function udp(sourcePort: number, destinationPort: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(sourcePort, 0)
  head.writeUInt16BE(destinationPort, 2)
  head.writeUInt16BE(8 + payload.length, 4)
  // 0 would say: no checksum, which IPv6 does not allow.
  head.writeUInt16BE(0xffff, 6)
  return Buffer.concat([head, payload])
}

export const TCP_FIN = 1
export const TCP_SYN = 2
export const TCP_RST = 4
export const TCP_ACK = 16

export interface TcpFields {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence?: number
  readonly acknowledgement?: number
  readonly flags: number
  readonly window?: number
  readonly urgent?: number
  /** Padded with zeros to a multiple of four. */
  readonly options?: readonly number[]
}

export function tcp(fields: TcpFields, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const options = fields.options ?? []
  const headBytes = 20 + Math.ceil(options.length / 4) * 4
  const head = Buffer.alloc(headBytes)
  head.writeUInt16BE(fields.sourcePort, 0)
  head.writeUInt16BE(fields.destinationPort, 2)
  head.writeUInt32BE((fields.sequence ?? 0) >>> 0, 4)
  head.writeUInt32BE((fields.acknowledgement ?? 0) >>> 0, 8)
  head.writeUInt8((headBytes >> 2) << 4, 12)
  head.writeUInt8(fields.flags, 13)
  head.writeUInt16BE(fields.window ?? 65_535, 14)
  head.writeUInt16BE(fields.urgent ?? 0, 18)
  Buffer.from(options).copy(head, 20)
  return Buffer.concat([head, payload])
}

export function icmpEcho(identifier: number, sequence: number, isIpv6: boolean, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(8)
  head.writeUInt8(isIpv6 ? 128 : 8, 0)
  head.writeUInt16BE(identifier, 4)
  head.writeUInt16BE(sequence, 6)
  const message = Buffer.concat([head, payload])
  if (!isIpv6) message.writeUInt16BE(internetChecksum(message), 2)
  return message
}

export interface ArpFields {
  readonly operation: number
  readonly senderMac: string
  readonly senderIp: string
  readonly targetMac?: string
  readonly targetIp: string
}

export function arp(fields: ArpFields): Buffer {
  const packet = Buffer.from('0001080006040000', 'hex')
  packet.writeUInt16BE(fields.operation, 6)
  return Buffer.concat([
    packet,
    macBytes(fields.senderMac),
    addressBytes(fields.senderIp),
    macBytes(fields.targetMac ?? '00:00:00:00:00:00'),
    addressBytes(fields.targetIp),
  ])
}

export function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex')
}

/** 4 bytes of an IPv4 address, 16 of an IPv6 one. */
export function addressBytes(address: string): Buffer {
  const words = parseAddress(address)
  const bytes = Buffer.alloc(16)
  words.forEach((word, index) => void bytes.writeInt32BE(word, index * 4))
  return address.includes(':') ? bytes : bytes.subarray(12)
}

/** RFC 1071, with the field that it goes to still 0. */
function internetChecksum(bytes: Buffer): number {
  let sum = 0
  for (let offset = 0; offset < bytes.length; offset += 2)
    sum += bytes.readUInt8(offset) * 256 + (offset + 1 < bytes.length ? bytes.readUInt8(offset + 1) : 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}
