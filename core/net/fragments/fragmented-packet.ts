// One fragmented packet under way: what has come of it, at its place in a slot that can hold the largest packet of either
// family. Lengths are compared with the slot before a byte is copied.
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { Frame } from '../frame/frame.ts'
import {
  ETHERNET_BYTES,
  IPV4_HEADER_BYTES,
  IPV6_HEADER_BYTES,
  NETWORK,
  VIRTIO_HEADER_BYTES,
} from '../frame/layout.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { writeIpv4Checksum } from '../frame/write-headers.ts'
import type { GuestPort } from '../guest-port.ts'
import { Timer } from '../packet/timer-wheel.ts'

/** Of the IP payload: the length fields of IPv4 (which counts its header) and IPv6 have 16 bits. */
const LONGEST_IPV4_PAYLOAD = 65_535 - IPV4_HEADER_BYTES
const LONGEST_IPV6_PAYLOAD = 65_535
const SLOT_BYTES = NETWORK + IPV6_HEADER_BYTES + LONGEST_IPV6_PAYLOAD + 1
/** 64 KiB in the packets of the smallest MTU of IPv4 networks in use (576) are 119. */
const MAX_PARTS = 128
const UNKNOWN = -1
const MORE_FRAGMENTS = 0x2000

/** Whether any packet can have such a fragment: not empty, in units of eight bytes but the last, within 64 KiB. */
export function isPossible(frame: Frame): boolean {
  const bytes = frame.end - frame.transport
  if (bytes <= 0 || (frame.hasMoreFragments && (bytes & 7) !== 0)) return false
  const longestBytes = frame.isIpv6 ? LONGEST_IPV6_PAYLOAD : LONGEST_IPV4_PAYLOAD
  return frame.fragmentOffsetBytes + bytes <= longestBytes
}

export class FragmentedPacket {
  readonly frame = new Frame(new PinnedBuffer(SLOT_BYTES))
  readonly timer: Timer
  port: GuestPort | undefined
  /** An overlap was seen: nothing of this packet is used. */
  isSpoiled = false
  /** Payload of the first fragment; 0 while it is missing. */
  firstBytes = 0

  readonly #starts = new Uint16Array(MAX_PARTS)
  readonly #ends = new Uint16Array(MAX_PARTS)
  #parts = 0
  #receivedBytes = 0
  #totalBytes = UNKNOWN
  #isIpv6 = false
  #identification = 0
  #protocol = 0
  #source0 = 0
  #source1 = 0
  #source2 = 0
  #source3 = 0
  #destination0 = 0
  #destination1 = 0
  #destination2 = 0
  #destination3 = 0

  constructor(expire: (packet: FragmentedPacket) => void) {
    this.timer = new Timer(() => expire(this))
  }

  begin(port: GuestPort, frame: Frame): void {
    this.port = port
    this.isSpoiled = false
    this.firstBytes = 0
    this.#parts = 0
    this.#receivedBytes = 0
    this.#totalBytes = UNKNOWN
    this.#isIpv6 = frame.isIpv6
    this.#identification = frame.fragmentId
    this.#protocol = frame.protocol
    this.#source0 = frame.source0
    this.#source1 = frame.source1
    this.#source2 = frame.source2
    this.#source3 = frame.source3
    this.#destination0 = frame.destination0
    this.#destination1 = frame.destination1
    this.#destination2 = frame.destination2
    this.#destination3 = frame.destination3
  }

  /** RFC 791: source, destination, protocol and identification; RFC 8200: without the protocol. */
  belongs(port: GuestPort, frame: Frame): boolean {
    return (
      this.port === port &&
      this.#identification === frame.fragmentId &&
      this.#isIpv6 === frame.isIpv6 &&
      (this.#isIpv6 || this.#protocol === frame.protocol) &&
      this.#destination3 === frame.destination3 &&
      this.#destination2 === frame.destination2 &&
      this.#destination1 === frame.destination1 &&
      this.#destination0 === frame.destination0 &&
      this.#source3 === frame.source3 &&
      this.#source2 === frame.source2 &&
      this.#source1 === frame.source1 &&
      this.#source0 === frame.source0
    )
  }

  /** Whether the fragment has a place. The same one again is nothing (RFC 8200 §4.5); any other overlap spoils all. */
  fit(frame: Frame): 'fits' | 'duplicate' | 'spoils' {
    const start = frame.fragmentOffsetBytes
    const end = start + frame.end - frame.transport
    for (let part = 0; part < this.#parts; part++) {
      const otherStart = this.#starts[part] ?? 0
      const otherEnd = this.#ends[part] ?? 0
      if (start === otherStart && end === otherEnd) return 'duplicate'
      if (start < otherEnd && otherStart < end) return 'spoils'
      if (!frame.hasMoreFragments && otherEnd > end) return 'spoils'
    }
    if (this.#parts === MAX_PARTS) return 'spoils'
    if (this.#totalBytes !== UNKNOWN && (end > this.#totalBytes || !frame.hasMoreFragments)) return 'spoils'
    return 'fits'
  }

  /** Copies what `fit()` found good. */
  copy(frame: Frame): void {
    const start = frame.fragmentOffsetBytes
    const bytes = frame.end - frame.transport
    const source = frame.buffer.bytes
    const target = this.frame.buffer.bytes
    target.set(source.subarray(frame.transport, frame.end), this.#transport + start)
    this.#starts[this.#parts] = start
    this.#ends[this.#parts] = start + bytes
    this.#parts++
    this.#receivedBytes += bytes
    if (!frame.hasMoreFragments) this.#totalBytes = start + bytes
    if (start > 0) return
    // The first fragment's headers are the packet's, options and extension headers left out.
    this.firstBytes = bytes
    target.set(source.subarray(VIRTIO_HEADER_BYTES, this.#transport), VIRTIO_HEADER_BYTES)
    if (this.#isIpv6) target[NETWORK + 6] = frame.protocol
    else target[NETWORK] = 0x45
  }

  get isComplete(): boolean {
    return this.#totalBytes !== UNKNOWN && this.#receivedBytes === this.#totalBytes
  }

  /** Makes the headers of the whole packet: its length with all of them. */
  finish(): number {
    return this.#setLength(this.#totalBytes, 0)
  }

  /** Makes the packet's first fragment again, to be quoted. */
  finishFirst(): Frame {
    // Careful: of IPv6 it parses as a packet that is shorter than it says, but its addresses are read all the same.
    parseFrame(this.frame, this.#setLength(this.firstBytes, MORE_FRAGMENTS))
    return this.frame
  }

  get #transport(): number {
    return VIRTIO_HEADER_BYTES + ETHERNET_BYTES + (this.#isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES)
  }

  #setLength(payloadBytes: number, fragmentField: number): number {
    const { view, bytes } = this.frame.buffer
    bytes.fill(0, 0, VIRTIO_HEADER_BYTES)
    if (this.#isIpv6) view.setUint16(NETWORK + 4, payloadBytes)
    else {
      view.setUint16(NETWORK + 2, IPV4_HEADER_BYTES + payloadBytes)
      view.setUint16(NETWORK + 6, fragmentField)
      writeIpv4Checksum(this.frame.buffer)
    }
    return this.#transport + payloadBytes
  }
}
