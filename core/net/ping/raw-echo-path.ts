// Pings of all guests through one raw ICMP socket of a family, which the core host opened: ping sockets are closed to
// everybody by default (net.ipv4.ping_group_range). Identifiers of the host's side are random and belong to one flow each;
// what the socket hears of others' pings is not looked at any further.
import { randomInt } from 'node:crypto'
import { DatagramReceiver } from '../../sys/datagram-batch.ts'
import { DatagramMessage } from '../../sys/datagram-message.ts'
import { EADDRNOTAVAIL } from '../../sys/errno.ts'
import { filterIcmp } from '../../sys/icmp-filter.ts'
import { closeDescriptor } from '../../sys/socket.ts'
import { SocketAddress } from '../../sys/socket-address.ts'
import type { Frame } from '../frame/frame.ts'
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import {
  ICMP_ECHO,
  ICMP_ECHO_REPLY,
  ICMP_HEADER_BYTES,
  ICMP_IDENTIFIER,
  ICMP_PARAMETER_PROBLEM,
  ICMP_SEQUENCE,
  ICMP_TIME_EXCEEDED,
  ICMP_UNREACHABLE,
  ICMPV6_ECHO,
  ICMPV6_ECHO_REPLY,
  ICMPV6_PARAMETER_PROBLEM,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_TOO_BIG,
  ICMPV6_UNREACHABLE,
} from '../icmp/icmp-layout.ts'
import type { PacketContext, SocketHandler, TurnTask } from '../packet/packet-context.ts'
import type { EchoPath, EchoReceiver } from './echo-path.ts'
import { EchoRequest } from './echo-request.ts'
import type { PingFlow } from './ping-flow.ts'

const IDENTIFIERS = 65_536
const BATCHES_PER_TURN = 2
/** Replies carry no hop limit where the kernel hands out no IP header (raw sockets of IPv6). */
const UNKNOWN_HOP_LIMIT = 64
const IPV4_TYPES = [ICMP_ECHO_REPLY, ICMP_UNREACHABLE, ICMP_TIME_EXCEEDED, ICMP_PARAMETER_PROBLEM]
const IPV6_TYPES = [
  ICMPV6_ECHO_REPLY,
  ICMPV6_UNREACHABLE,
  ICMPV6_TOO_BIG,
  ICMPV6_TIME_EXCEEDED,
  ICMPV6_PARAMETER_PROBLEM,
]

export class RawEchoPath implements EchoPath, SocketHandler, TurnTask {
  isDue = false
  readonly #context: PacketContext
  readonly #owner: EchoReceiver
  readonly #isIpv6: boolean
  readonly #fd: number
  readonly #token: number
  readonly #flows = new Map<number, PingFlow>()
  readonly #message = new DatagramMessage()
  readonly #request = new EchoRequest()
  readonly #receiver = new DatagramReceiver({ capacity: 16, withAddress: true })
  readonly #sender = new SocketAddress()
  #isClosed = false

  /** The descriptor is this object's from now on. Throws NetError where it cannot be watched. */
  constructor(context: PacketContext, owner: EchoReceiver, isIpv6: boolean, fd: number) {
    this.#context = context
    this.#owner = owner
    this.#isIpv6 = isIpv6
    this.#fd = fd
    filterIcmp(fd, isIpv6, isIpv6 ? IPV6_TYPES : IPV4_TYPES)
    this.#token = context.watcher.watch(fd, this, false)
  }

  open(flow: PingFlow): number {
    // Careful: half of all identifiers stay free, so that a free one is found by guessing.
    if (this.#flows.size >= IDENTIFIERS / 2) return -EADDRNOTAVAIL
    do flow.hostIdentifier = randomInt(IDENTIFIERS)
    while (this.#flows.has(flow.hostIdentifier))
    this.#flows.set(flow.hostIdentifier, flow)
    return 0
  }

  send(flow: PingFlow, frame: Frame): number {
    this.#message.clear()
    this.#message.to(flow.remote0, flow.remote1, flow.remote2, flow.remote3, 0)
    return this.#request.send(this.#fd, this.#message, frame, flow.hostIdentifier)
  }

  close(flow: PingFlow): void {
    if (this.#flows.get(flow.hostIdentifier) === flow) this.#flows.delete(flow.hostIdentifier)
  }

  /** Gives the socket up. All flows must be closed. */
  dispose(): void {
    this.#isClosed = true
    this.#context.watcher.unwatch(this.#fd, this.#token)
    closeDescriptor(this.#fd)
  }

  onSocketEvents(): void {
    this.#receive()
  }

  atEndOfTurn(): void {
    this.#receive()
  }

  #receive(): void {
    if (this.#isClosed) return
    const receiver = this.#receiver
    for (let batch = 0; batch < BATCHES_PER_TURN; batch++) {
      const count = receiver.receive(this.#fd)
      if (count < 0) return
      for (let index = 0; index < count; index++) {
        const start = receiver.offset(index)
        const end = start + receiver.length(index)
        if (receiver.sender(index, this.#sender)) this.#message4or6(start, end)
      }
      if (count < receiver.capacity) return
    }
    this.#context.due(this)
  }

  /** One message: of IPv4 with its IP header in front (raw(7)), of IPv6 without. */
  #message4or6(start: number, end: number): void {
    const { view } = this.#receiver.buffer
    if (this.#isIpv6) {
      this.#icmp(start, end, UNKNOWN_HOP_LIMIT)
      return
    }
    if (end - start < IPV4_HEADER_BYTES) return
    const headerBytes = (view.getUint8(start) & 15) * 4
    this.#icmp(start + headerBytes, end, view.getUint8(start + 8))
  }

  #icmp(at: number, end: number, hopLimit: number): void {
    if (at + ICMP_HEADER_BYTES > end) return
    const { view } = this.#receiver.buffer
    const type = view.getUint8(at)
    if (type !== (this.#isIpv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)) {
      this.#error(at, end, type)
      return
    }
    const flow = this.#flows.get(view.getUint16(at + ICMP_IDENTIFIER))
    // Nobody else answers in its name.
    if (flow === undefined || !this.#isFrom(flow)) return
    const payload = at + ICMP_HEADER_BYTES
    const sequence = view.getUint16(at + ICMP_SEQUENCE)
    this.#owner.reply(flow, sequence, hopLimit, this.#receiver.buffer, payload, end - payload)
  }

  /** An error about a request of ours: it quotes the request's IP header and its first eight bytes. */
  #error(at: number, end: number, type: number): void {
    const { view } = this.#receiver.buffer
    const quoted = at + ICMP_HEADER_BYTES
    const shortest = this.#isIpv6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES
    if (quoted + shortest > end) return
    const isEcho = this.#isIpv6
      ? view.getUint8(quoted + 6) === PROTOCOL_ICMPV6
      : view.getUint8(quoted + 9) === PROTOCOL_ICMP
    const echo = quoted + (this.#isIpv6 ? IPV6_HEADER_BYTES : (view.getUint8(quoted) & 15) * 4)
    if (!isEcho || echo + ICMP_HEADER_BYTES > end) return
    if (view.getUint8(echo) !== (this.#isIpv6 ? ICMPV6_ECHO : ICMP_ECHO)) return
    const flow = this.#flows.get(view.getUint16(echo + ICMP_IDENTIFIER))
    const destination = quoted + (this.#isIpv6 ? 24 : 16)
    if (flow === undefined || !this.#isTo(flow, destination)) return
    // The MTU, where there is one: 16 bits of IPv4's (RFC 1191 §4), 32 of IPv6's.
    const info = this.#isIpv6 ? view.getUint32(at + 4) : view.getUint16(at + 6)
    const sequence = view.getUint16(echo + ICMP_SEQUENCE)
    this.#owner.error(flow, sequence, type, view.getUint8(at + 1), info, this.#sender)
  }

  #isFrom(flow: PingFlow): boolean {
    const { word0, word1, word2, word3 } = this.#sender
    return (
      word3 === flow.remote3 && word2 === flow.remote2 && word1 === flow.remote1 && word0 === flow.remote0
    )
  }

  #isTo(flow: PingFlow, at: number): boolean {
    const { view } = this.#receiver.buffer
    if (!this.#isIpv6) return view.getInt32(at) === flow.remote3
    return (
      view.getInt32(at) === flow.remote0 &&
      view.getInt32(at + 4) === flow.remote1 &&
      view.getInt32(at + 8) === flow.remote2 &&
      view.getInt32(at + 12) === flow.remote3
    )
  }
}
