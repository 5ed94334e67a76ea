// A guest's side of its wire for tests: it makes frames as a guest would, byte by byte, and reads the frames that reach the
// guest with a reader of its own that checks every length and checksum.
import { EAGAIN } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { formatAddress, parseAddress } from '../address.ts'
import type { FrameDevice } from '../device/frame-device.ts'
import { type DropReason, dropReasons } from '../frame/drop-reason.ts'
import { Frame } from '../frame/frame.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { GuestPort, type GuestPortOptions } from '../guest-port.ts'
import type { GuestPolicy } from '../policy/guest-policy.ts'
import { defaultSettings } from '../settings.ts'
import { gatewayIdentity } from './gateway-identity.ts'

export const gateway = gatewayIdentity(defaultSettings)
export const guestMac = Uint8Array.of(0x00, 0x16, 0x3e, 0x01, 0x02, 0x03)
export const guestIpv4 = '10.75.1.3'
export const guestIpv6 = 'fdd4:1476:6c7e::a4b:103'
export const gatewayIpv4 = '10.75.0.1'
export const gatewayIpv6 = 'fdd4:1476:6c7e::1'

const openPolicy: GuestPolicy = { verdict: () => 'allowed' }

/** A device that keeps what the guest is sent. */
export class RecordingDevice implements FrameDevice {
  readonly fd = -1
  readonly frames: Uint8Array[] = []
  isFull = false

  receive(): number {
    return -EAGAIN
  }

  send(
    header: PinnedBuffer,
    headerBytes: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): number {
    if (this.isFull) return -EAGAIN
    header.at(0, headerBytes)
    payload.at(payloadOffset, payloadBytes)
    this.frames.push(
      Uint8Array.of(
        ...header.bytes.subarray(0, headerBytes),
        ...payload.bytes.subarray(payloadOffset, payloadOffset + payloadBytes),
      ),
    )
    return headerBytes + payloadBytes
  }

  stats(): { overruns: number } {
    return { overruns: 0 }
  }

  isGone(): boolean {
    return false
  }

  close(): void {}
}

let lastIndex = 0

/** A guest at the end of a recording device. */
export function guestWire(options: Partial<GuestPortOptions> = {}): {
  port: GuestPort
  device: RecordingDevice
} {
  const device = new RecordingDevice()
  const port = new GuestPort({
    index: ++lastIndex,
    id: 'guest',
    name: 'web',
    mac: guestMac,
    ipv4: parseAddress(guestIpv4),
    ipv6: parseAddress(guestIpv6),
    mtu: 1500,
    configuration: 'static',
    mayMeetGuests: true,
    policy: openPolicy,
    inFlightLimitBytes: 1_000_000,
    device,
    ...options,
  })
  return { port, device }
}

/** What was dropped, by reason. */
export function dropsOf(port: GuestPort): Partial<Record<DropReason, number>> {
  return Object.fromEntries(
    dropReasons.map((reason, index) => [reason, port.drops[index] ?? 0]).filter(([, count]) => count !== 0),
  )
}

export interface PacketOptions {
  readonly from?: string
  readonly to: string
  readonly protocol: number
  readonly hopLimit?: number
  /** Offset and whether more follow, of a fragment. */
  readonly fragment?: { readonly offsetBytes: number; readonly more: boolean; readonly id: number }
  readonly payload: Uint8Array
}

/** An Ethernet frame from the guest to the gateway, a virtio-net header in front. */
export function ethernetFrame(etherType: number, payload: Uint8Array, destination = gateway.mac): Uint8Array {
  return Uint8Array.of(
    ...new Uint8Array(10),
    ...destination,
    ...guestMac,
    etherType >>> 8,
    etherType & 255,
    ...payload,
  )
}

/** An IP packet in such a frame. */
export function ipFrame(options: PacketOptions): Uint8Array {
  return options.to.includes(':') ? ipv6Frame(options) : ipv4Frame(options)
}

function ipv4Frame({
  from = guestIpv4,
  to,
  protocol,
  hopLimit = 64,
  fragment,
  payload,
}: PacketOptions): Uint8Array {
  const header = new Uint8Array(20)
  const view = new DataView(header.buffer)
  view.setUint8(0, 0x45)
  view.setUint16(2, 20 + payload.length)
  view.setUint16(4, fragment?.id ?? 0)
  view.setUint16(
    6,
    fragment === undefined ? 0x4000 : (fragment.more ? 0x2000 : 0) | (fragment.offsetBytes >>> 3),
  )
  view.setUint8(8, hopLimit)
  view.setUint8(9, protocol)
  header.set(addressBytes(from), 12)
  header.set(addressBytes(to), 16)
  view.setUint16(10, ~sum(header) & 0xffff)
  return ethernetFrame(0x0800, Uint8Array.of(...header, ...payload))
}

function ipv6Frame({
  from = guestIpv6,
  to,
  protocol,
  hopLimit = 64,
  fragment,
  payload,
}: PacketOptions): Uint8Array {
  const extension = new Uint8Array(fragment === undefined ? 0 : 8)
  if (fragment !== undefined) {
    const view = new DataView(extension.buffer)
    view.setUint8(0, protocol)
    view.setUint16(2, fragment.offsetBytes | (fragment.more ? 1 : 0))
    view.setUint32(4, fragment.id)
  }
  const header = new Uint8Array(40)
  const view = new DataView(header.buffer)
  view.setUint8(0, 0x60)
  view.setUint16(4, extension.length + payload.length)
  view.setUint8(6, fragment === undefined ? protocol : 44)
  view.setUint8(7, hopLimit)
  header.set(addressBytes(from), 8)
  header.set(addressBytes(to), 24)
  return ethernetFrame(0x86dd, Uint8Array.of(...header, ...extension, ...payload))
}

/** A UDP datagram with its checksum. */
export function udpDatagram(
  from: string,
  to: string,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
): Uint8Array {
  const datagram = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, ...payload)
  const view = new DataView(datagram.buffer)
  view.setUint16(0, sourcePort)
  view.setUint16(2, destinationPort)
  view.setUint16(4, datagram.length)
  view.setUint16(6, ~sum(datagram, pseudoSum(from, to, 17, datagram.length)) & 0xffff || 0xffff)
  return datagram
}

/** An ICMP or ICMPv6 message with its checksum. */
export function icmpMessage(from: string, to: string, message: Uint8Array): Uint8Array {
  const bytes = Uint8Array.from(message)
  const start = to.includes(':') ? pseudoSum(from, to, 58, bytes.length) : 0
  new DataView(bytes.buffer).setUint16(2, ~sum(bytes, start) & 0xffff)
  return bytes
}

/** An echo request. */
export function echoRequest(
  from: string,
  to: string,
  identifier: number,
  sequence: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const type = to.includes(':') ? 128 : 8
  const words = [identifier >>> 8, identifier & 255, sequence >>> 8, sequence & 255]
  return icmpMessage(from, to, Uint8Array.of(type, 0, 0, 0, ...words, ...payload))
}

/** Puts a frame where the packet loop would have put it, and parses it. Throws where it is refused. */
export function received(bytes: Uint8Array, frame = new Frame()): Frame {
  frame.buffer.bytes.set(bytes)
  const dropped = parseFrame(frame, bytes.length)
  if (dropped !== undefined) throw new Error(`The frame is ${dropped}`)
  return frame
}

/** A packet that reached the guest. */
export interface SeenPacket {
  readonly destinationMac: string
  readonly sourceMac: string
  readonly from: string
  readonly to: string
  readonly protocol: number
  readonly hopLimit: number
  readonly fragment: { readonly offsetBytes: number; readonly more: boolean; readonly id: number } | undefined
  /** From the transport header on; of a fragment its part of the payload. */
  readonly payload: Uint8Array
}

/** Reads a frame to the guest as its kernel would. Throws where a length or a checksum is wrong. */
export function readPacket(frame: Uint8Array): SeenPacket {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  const etherType = view.getUint16(22)
  const packet = frame.subarray(24)
  if (etherType === 0x0800) return readIpv4(frame, packet)
  if (etherType === 0x86dd) return readIpv6(frame, packet)
  throw new Error(`No IP packet: ether type ${etherType.toString(16)}`)
}

function readIpv4(frame: Uint8Array, packet: Uint8Array): SeenPacket {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  if (packet[0] !== 0x45 || view.getUint16(2) !== packet.length) throw new Error('Wrong IPv4 header')
  if (sum(packet.subarray(0, 20)) !== 0xffff) throw new Error('Wrong IPv4 header checksum')
  const field = view.getUint16(6)
  const isFragment = (field & 0x3fff) !== 0
  const seen: SeenPacket = {
    ...macs(frame),
    from: [...packet.subarray(12, 16)].join('.'),
    to: [...packet.subarray(16, 20)].join('.'),
    protocol: packet[9] ?? 0,
    hopLimit: packet[8] ?? 0,
    fragment: isFragment
      ? { offsetBytes: (field & 0x1fff) * 8, more: (field & 0x2000) !== 0, id: view.getUint16(4) }
      : undefined,
    payload: packet.subarray(20),
  }
  checkTransport(frame, seen)
  return seen
}

function readIpv6(frame: Uint8Array, packet: Uint8Array): SeenPacket {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length)
  if (view.getUint16(4) !== packet.length - 40) throw new Error('Wrong IPv6 length')
  const isFragment = packet[6] === 44
  const text = (at: number) =>
    formatAddress([view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12)])
  const seen: SeenPacket = {
    ...macs(frame),
    from: text(8),
    to: text(24),
    protocol: (isFragment ? packet[40] : packet[6]) ?? 0,
    hopLimit: packet[7] ?? 0,
    fragment: isFragment
      ? {
          offsetBytes: view.getUint16(42) & 0xfff8,
          more: (view.getUint16(42) & 1) !== 0,
          id: view.getUint32(44),
        }
      : undefined,
    payload: packet.subarray(isFragment ? 48 : 40),
  }
  checkTransport(frame, seen)
  return seen
}

/** Puts fragments that reached the guest together, and checks the whole. */
export function joinFragments(packets: readonly SeenPacket[]): SeenPacket {
  const parts = packets.toSorted(
    (one, other) => (one.fragment?.offsetBytes ?? 0) - (other.fragment?.offsetBytes ?? 0),
  )
  const [first] = parts
  if (first === undefined) throw new Error('No fragment')
  const bytes: number[] = []
  for (const [index, { fragment, payload }] of parts.entries()) {
    if (fragment === undefined || fragment.id !== first.fragment?.id) throw new Error('Not of one packet')
    if (fragment.offsetBytes !== bytes.length) throw new Error('A gap or an overlap')
    if (fragment.more === (index === parts.length - 1)) throw new Error('Wrong more-fragments bit')
    for (const byte of payload) bytes.push(byte)
  }
  const whole: SeenPacket = { ...first, fragment: undefined, payload: Uint8Array.from(bytes) }
  checkTransport(new Uint8Array(10), whole)
  return whole
}

/** Whole checksums must be right; open ones must be the pseudo-header's sum, at the place that the virtio-net header says. */
function checkTransport(frame: Uint8Array, seen: SeenPacket): void {
  if (seen.fragment !== undefined) return
  const { from, to, protocol, payload } = seen
  const isOpen = (frame[0] ?? 0) === 1
  const start = protocol === 1 ? 0 : pseudoSum(from, to, protocol, payload.length)
  if (!isOpen) {
    if (sum(payload, start) !== 0xffff) throw new Error(`Wrong checksum of protocol ${protocol}`)
    return
  }
  const virtio = new DataView(frame.buffer, frame.byteOffset, 10)
  const at = virtio.getUint16(6, true) + 10 + virtio.getUint16(8, true)
  const stored = new DataView(frame.buffer, frame.byteOffset).getUint16(at)
  if (stored !== foldAll(start)) throw new Error('Wrong open checksum')
}

function macs(frame: Uint8Array): { destinationMac: string; sourceMac: string } {
  const text = (at: number) =>
    [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
  return { destinationMac: text(10), sourceMac: text(16) }
}

export function addressBytes(text: string): Uint8Array {
  const words = parseAddress(text)
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (const [index, word] of words.entries()) view.setInt32(index * 4, word)
  return text.includes(':') ? bytes : bytes.subarray(12)
}

function pseudoSum(from: string, to: string, protocol: number, length: number): number {
  return sum(
    Uint8Array.of(...addressBytes(from), ...addressBytes(to), 0, protocol, length >>> 8, length & 255),
  )
}

/** The folded sum of 16-bit words, not complemented. */
function sum(bytes: Uint8Array, start = 0): number {
  let total = start
  for (let at = 0; at < bytes.length; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
  return foldAll(total)
}

function foldAll(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000)
  return folded
}
