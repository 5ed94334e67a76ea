import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { type AddressWords, parseAddress } from '../address.ts'
import { fold, internetSum, pseudoHeaderSum } from '../frame/checksum.ts'
import { Frame } from '../frame/frame.ts'
import {
  ETHER_IPV4,
  ETHER_IPV6,
  ETHER_TYPE,
  FLAG_NEEDS_CHECKSUM,
  GSO_NONE,
  GSO_TCPV4,
  GSO_TCPV6,
  NETWORK,
  PROTOCOL_TCP,
  VIRTIO_CHECKSUM_OFFSET,
  VIRTIO_CHECKSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_GSO_SIZE,
  VIRTIO_GSO_TYPE,
  VIRTIO_HEADER_BYTES,
  VIRTIO_HEADER_LENGTH,
} from '../frame/layout.ts'
import { parseFrame } from '../frame/parse-frame.ts'
import { gatewayIdentity } from '../gateway/gateway-identity.ts'
import { GuestPort } from '../guest-port.ts'
import type { IcmpErrorKind, IcmpErrors, QuotedPacket } from '../icmp/icmp-errors.ts'
import { TICK_MS } from '../packet/timer-wheel.ts'
import type { PolicyVerdict } from '../policy/guest-policy.ts'
import { defaultLimits, defaultSettings, type NetworkLimits } from '../settings.ts'
import { type HostSocket, HostSockets } from './host-sockets.fixture.ts'
import { ManualContext, MemoryDevice } from './manual-context.fixture.ts'
import { readSackOption, type SynOffer, synOptions } from './segment-text.fixture.ts'
import { ACK, FIN, PSH, SYN } from './tcp-header.ts'
import { TcpStack } from './tcp-stack.ts'

const GUEST_MAC = Uint8Array.of(0, 0x16, 0x3e, 1, 2, 3)

/** One segment as it went over the wire. */
export interface Segment {
  readonly flags: number
  readonly sequence: number
  readonly acknowledgment: number
  readonly window: number
  readonly payload: Uint8Array
  /** The option bytes. */
  readonly options: Uint8Array
  readonly sackBlocks: readonly (readonly [start: number, end: number])[]
  readonly gsoSizeBytes: number
  readonly guestPort: number
  readonly remotePort: number
}

class NotedIcmp implements IcmpErrors {
  readonly errors: { readonly kind: IcmpErrorKind; readonly sequence: number | undefined }[] = []

  answer(_port: GuestPort, frame: Frame, kind: IcmpErrorKind): void {
    this.errors.push({ kind, sequence: frame.buffer.view.getInt32(frame.transport + 4) })
  }

  about(_port: GuestPort, packet: QuotedPacket, kind: IcmpErrorKind): void {
    this.errors.push({ kind, sequence: packet.sequence })
  }
}

export interface ScriptedPeerOptions {
  readonly family?: 4 | 6
  readonly limits?: Partial<NetworkLimits>
  readonly mtu?: number
  readonly inFlightLimitBytes?: number
  readonly verdict?: PolicyVerdict
  readonly localService?: (peer: ScriptedPeer, remotePort: number) => number
  /** The host's sockets can be peeked at from any offset. */
  readonly canPeek?: boolean
  /** The guest's initial sequence number. */
  readonly initial?: number
}

export interface SegmentToSend {
  readonly flags?: number
  readonly sequence?: number
  readonly acknowledgment?: number
  readonly window?: number
  readonly payload?: Uint8Array
  readonly options?: Uint8Array
  readonly guestPort?: number
  readonly remotePort?: number
  readonly gsoSizeBytes?: number
  readonly urgentPointer?: number
}

export const SERVER_PORT = 8080
export const GUEST_PORT = 40_000

export class ScriptedPeer {
  readonly family: 4 | 6
  readonly canPeek: boolean
  readonly context = new ManualContext()
  readonly host: HostSockets
  readonly icmp = new NotedIcmp()
  readonly device: MemoryDevice
  readonly port: GuestPort
  readonly stack: TcpStack
  readonly remote: AddressWords
  readonly gateway: AddressWords
  /** The frames that the stack sent and nobody has looked at. */
  readonly sent: Segment[] = []
  /** SND.NXT and RCV.NXT of the guest. */
  sequence: number
  acknowledgment = 0
  /** The window field that the guest's segments carry. */
  window = 0xffff
  windowShift = 0
  readonly initial: number
  stackInitial = 0
  readonly #frame = new Frame()
  readonly #own: AddressWords

  constructor(options: ScriptedPeerOptions = {}) {
    this.family = options.family ?? 4
    this.canPeek = options.canPeek ?? false
    this.host = new HostSockets(this)
    this.device = new MemoryDevice((bytes) => this.sent.push(this.#read(bytes)))
    const ipv4 = parseAddress('10.75.3.4')
    const ipv6 = parseAddress('fdd4:1476:6c7e::a4b:304')
    this.#own = this.family === 4 ? ipv4 : ipv6
    this.remote = parseAddress(this.family === 4 ? '192.0.2.7' : '2001:db8::7')
    this.gateway = parseAddress(this.family === 4 ? defaultSettings.gatewayIpv4 : defaultSettings.gatewayIpv6)
    this.initial = options.initial ?? 1_000
    this.sequence = this.initial
    this.port = new GuestPort({
      index: 1,
      id: 'guest',
      name: 'guest',
      mac: GUEST_MAC,
      ipv4,
      ipv6,
      mtu: options.mtu ?? 1500,
      configuration: 'static',
      mayMeetGuests: true,
      policy: { verdict: () => options.verdict ?? 'allowed' },
      device: this.device,
      inFlightLimitBytes: options.inFlightLimitBytes ?? defaultLimits.tapInFlightBytes,
    })
    this.stack = new TcpStack(this.context, {
      sockets: this.host,
      limits: { ...defaultLimits, ...options.limits },
      gateway: gatewayIdentity(defaultSettings),
      icmp: this.icmp,
      localService: (_port, remotePort) => options.localService?.(this, remotePort) ?? -111,
    })
  }

  /** A second guest of the same stack, whose frames nobody looks at. A connection from the host is asked of it. */
  otherGuest(index: number): GuestPort {
    const { id, name, mac, mtu, configuration, mayMeetGuests, policy, inFlightLimitBytes } = this.port
    const port = new GuestPort({
      index,
      id: `${id}${index}`,
      name: `${name}${index}`,
      mac,
      mtu,
      configuration,
      mayMeetGuests,
      policy,
      inFlightLimitBytes,
      ipv4: parseAddress('10.75.3.5'),
      ipv6: parseAddress('fdd4:1476:6c7e::a4b:305'),
      device: new MemoryDevice(() => {}),
    })
    this.stack.openInbound(port, this.host.open(0).fd, ...this.remote, 52_000, 80)
    return port
  }

  /** The latest socket that the stack opened or was given. */
  get socket(): HostSocket {
    const socket = this.host.sockets.at(-1)
    if (socket === undefined) throw new Error('there is no host socket')
    return socket
  }

  /** Sends a segment; what the test does not say is what an orderly TCP would send. Ends the turn. */
  send(segment: SegmentToSend = {}): void {
    this.sendInTurn(segment)
    this.settle()
  }

  /** The same, and the turn goes on. */
  sendInTurn(segment: SegmentToSend, remote: AddressWords = this.remote): void {
    const lengthBytes = this.#write(segment, remote)
    const dropped = parseFrame(this.#frame, lengthBytes)
    if (dropped !== undefined) {
      this.port.drop(dropped)
      return
    }
    this.stack.frame(this.port, this.#frame)
  }

  /** Sends payload in order and moves on. */
  sendData(payload: Uint8Array, flags = ACK | PSH): void {
    const { sequence } = this
    this.sequence = (sequence + payload.length + ((flags & FIN) !== 0 ? 1 : 0)) | 0
    this.send({ flags, sequence, payload })
  }

  sendFin(): void {
    this.sendData(new Uint8Array(0), ACK | FIN)
  }

  sendSyn(offer: SynOffer = {}, segment: SegmentToSend = {}): void {
    const flags = segment.flags ?? SYN
    this.send({
      flags,
      sequence: this.initial,
      window: offer.window ?? 0xffff,
      options: synOptions(offer),
      ...segment,
    })
    if ((flags & SYN) !== 0) this.sequence = (this.initial + 1) | 0
  }

  /** The three-way handshake, with the options of a Linux guest unless told otherwise. */
  connect(offer: SynOffer = { mss: 1460, windowShift: 7, sack: true }): HostSocket {
    this.sendSyn(offer)
    const { socket } = this
    socket.connected()
    const answer = this.take()
    if (answer.flags !== (SYN | ACK)) throw new Error(`no SYN-ACK but flags ${answer.flags}`)
    this.stackInitial = answer.sequence
    this.acknowledgment = (answer.sequence + 1) | 0
    this.windowShift = offer.windowShift ?? 0
    this.send({ flags: ACK })
    return socket
  }

  /** Acknowledges everything up to `acknowledgment` of the stack's bytes. */
  ack(acknowledgment = this.acknowledgment, window = this.window): void {
    this.acknowledgment = acknowledgment
    this.window = window
    this.send({ flags: ACK })
  }

  /** Takes the oldest segment that the stack sent. */
  take(): Segment {
    const segment = this.sent.shift()
    if (segment === undefined) throw new Error('the stack sent nothing')
    return segment
  }

  /** Takes all of them. */
  takeAll(): Segment[] {
    return this.sent.splice(0)
  }

  event(fd: number, events: number): void {
    this.context.handlers.get(fd)?.onSocketEvents(events)
    this.settle()
  }

  settle(): void {
    for (let turns = 0; this.context.endTurn(); turns++)
      if (turns > 20) throw new Error('the turn never ends')
  }

  /** Lets time pass, with its timers. */
  pass(ms: number): void {
    const until = this.context.nowMs + ms
    while (this.context.nowMs < until) {
      this.context.nowMs = Math.min(until, this.context.nowMs + TICK_MS)
      this.context.timers.advance(this.context.nowMs)
      this.settle()
    }
  }

  #write(segment: SegmentToSend, remote: AddressWords): number {
    const { view, bytes } = this.#frame.buffer
    const payload = segment.payload ?? new Uint8Array(0)
    const options = segment.options ?? new Uint8Array(0)
    const headerBytes = 20 + Math.ceil(options.length / 4) * 4
    const transportBytes = headerBytes + payload.length
    bytes.fill(0, 0, 160)
    const isIpv6 = this.family === 6
    const at = NETWORK + (isIpv6 ? 40 : 20)
    view.setUint16(ETHER_TYPE, isIpv6 ? ETHER_IPV6 : ETHER_IPV4)
    bytes.set(GUEST_MAC, 16)
    if (isIpv6) {
      view.setUint32(NETWORK, 0x6000_0000)
      view.setUint16(NETWORK + 4, transportBytes)
      view.setUint16(NETWORK + 6, (PROTOCOL_TCP << 8) | 64)
      this.#own.forEach((word, index) => {
        view.setInt32(NETWORK + 8 + index * 4, word)
      })
      remote.forEach((word, index) => {
        view.setInt32(NETWORK + 24 + index * 4, word)
      })
    } else {
      view.setUint16(NETWORK, 0x4500)
      view.setUint16(NETWORK + 2, 20 + transportBytes)
      view.setUint16(NETWORK + 8, (64 << 8) | PROTOCOL_TCP)
      view.setInt32(NETWORK + 12, this.#own[3])
      view.setInt32(NETWORK + 16, remote[3])
      view.setUint16(NETWORK + 10, ~fold(internetSum(this.#frame.buffer, NETWORK, 20)) & 0xffff)
    }
    view.setUint16(at, segment.guestPort ?? GUEST_PORT)
    view.setUint16(at + 2, segment.remotePort ?? SERVER_PORT)
    view.setInt32(at + 4, segment.sequence ?? this.sequence)
    view.setInt32(at + 8, segment.acknowledgment ?? this.acknowledgment)
    view.setUint16(at + 12, (headerBytes << 10) | (segment.flags ?? ACK))
    view.setUint16(at + 14, segment.window ?? this.window)
    view.setUint16(at + 18, segment.urgentPointer ?? 0)
    bytes.set(options, at + 20)
    bytes.set(payload, at + headerBytes)
    view.setUint8(VIRTIO_FLAGS, FLAG_NEEDS_CHECKSUM)
    view.setUint16(VIRTIO_CHECKSUM_START, at - VIRTIO_HEADER_BYTES, true)
    view.setUint16(VIRTIO_CHECKSUM_OFFSET, 16, true)
    if (segment.gsoSizeBytes !== undefined) {
      view.setUint8(VIRTIO_GSO_TYPE, isIpv6 ? GSO_TCPV6 : GSO_TCPV4)
      view.setUint16(VIRTIO_GSO_SIZE, segment.gsoSizeBytes, true)
      view.setUint16(VIRTIO_HEADER_LENGTH, at + headerBytes - VIRTIO_HEADER_BYTES, true)
    }
    return at + transportBytes
  }

  /** Reads a frame of the stack's and refuses one that a kernel would. */
  #read(bytes: Uint8Array): Segment {
    const frame = new Frame(new PinnedBuffer(bytes.length))
    frame.buffer.bytes.set(bytes)
    const dropped = parseFrame(frame, bytes.length)
    if (dropped !== undefined) throw new Error(`the stack sent a frame that is ${dropped}`)
    if (frame.end !== bytes.length) throw new Error('the stack sent a frame with a wrong length')
    const { view } = frame.buffer
    const at = frame.transport
    const headerBytes = (view.getUint8(at + 12) >>> 4) * 4
    const payload = bytes.slice(at + headerBytes)
    const sum = pseudoHeaderSum(
      frame.source0,
      frame.source1,
      frame.source2,
      frame.source3,
      frame.destination0,
      frame.destination1,
      frame.destination2,
      frame.destination3,
      PROTOCOL_TCP,
      frame.transportBytes,
    )
    if (!frame.needsChecksum || view.getUint16(at + 16) !== fold(sum))
      throw new Error('the stack sent a frame whose partial checksum is wrong')
    if (frame.gsoType === GSO_NONE && frame.end - NETWORK > this.port.mtu)
      throw new Error(`the stack sent ${payload.length} bytes in one segment`)
    if (frame.source3 !== this.remote[3] && frame.source3 !== this.gateway[3])
      throw new Error('the stack sent a frame in a wrong name')
    const options = bytes.slice(at + 20, at + headerBytes)
    return {
      flags: view.getUint8(at + 13),
      sequence: view.getInt32(at + 4),
      acknowledgment: view.getInt32(at + 8),
      window: view.getUint16(at + 14),
      payload,
      options,
      sackBlocks: readSackOption(options),
      gsoSizeBytes: frame.gsoSizeBytes,
      remotePort: view.getUint16(at),
      guestPort: view.getUint16(at + 2),
    }
  }
}
