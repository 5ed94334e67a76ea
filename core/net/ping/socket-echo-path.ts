// Pings through a ping socket for each flow (icmp(7), ping_group_range): for hosts that give the engine no raw socket. The
// kernel chooses the identifier, and its error queue tells of errors.
import { DatagramReceiver } from '../../sys/datagram-batch.ts'
import { DatagramMessage } from '../../sys/datagram-message.ts'
import { EPOLLERR } from '../../sys/epoll.ts'
import { EAGAIN } from '../../sys/errno.ts'
import { ErrorQueue, enableErrorQueue, ORIGIN_LOCAL } from '../../sys/error-queue.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import {
  AF_INET,
  AF_INET6,
  closeDescriptor,
  connectSocket,
  openSocket,
  SOCK_DGRAM,
} from '../../sys/socket.ts'
import { writeSocketAddress } from '../../sys/socket-address.ts'
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import { ICMP_ECHO_REPLY, ICMP_HEADER_BYTES, ICMP_SEQUENCE, ICMPV6_ECHO_REPLY } from '../icmp/icmp-layout.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { EchoPath, EchoReceiver } from './echo-path.ts'
import { EchoRequest } from './echo-request.ts'
import type { PingFlow } from './ping-flow.ts'

const UNKNOWN_HOP_LIMIT = 64
const EVENTS_AT_ONCE = 64

export class SocketEchoPath implements EchoPath {
  readonly #context: PacketContext
  readonly #owner: EchoReceiver
  readonly #message = new DatagramMessage()
  readonly #request = new EchoRequest()
  readonly #receiver = new DatagramReceiver({ capacity: 4 })
  readonly #errors = new ErrorQueue()
  readonly #address = new PinnedBuffer(32)

  constructor(context: PacketContext, owner: EchoReceiver) {
    this.#context = context
    this.#owner = owner
  }

  open(flow: PingFlow): number {
    const fd = flow.isIpv6
      ? openSocket(AF_INET6, SOCK_DGRAM, PROTOCOL_ICMPV6)
      : openSocket(AF_INET, SOCK_DGRAM, PROTOCOL_ICMP)
    if (fd < 0) return fd
    enableErrorQueue(fd, flow.isIpv6)
    const { remote0, remote1, remote2, remote3 } = flow
    const addressBytes = writeSocketAddress(this.#address, remote0, remote1, remote2, remote3, 0)
    const failed = connectSocket(fd, this.#address, addressBytes)
    if (failed < 0) {
      closeDescriptor(fd)
      return failed
    }
    flow.fd = fd
    const handler = { onSocketEvents: (events: number) => this.#onEvents(flow, events) }
    flow.token = this.#context.watcher.watch(fd, handler, false)
    return 0
  }

  send(flow: PingFlow, frame: Frame): number {
    this.#message.clear()
    const failed = this.#request.send(flow.fd, this.#message, frame, 0)
    if (failed === 0 || failed === -EAGAIN) return failed
    // What it reports may be the error of an earlier request, which then is in the queue.
    if (this.#drainErrors(flow) === 0) return failed
    this.#message.clear()
    return this.#request.send(flow.fd, this.#message, frame, 0)
  }

  close(flow: PingFlow): void {
    if (flow.fd < 0) return
    this.#context.watcher.unwatch(flow.fd, flow.token)
    closeDescriptor(flow.fd)
    flow.fd = -1
  }

  #onEvents(flow: PingFlow, events: number): void {
    if ((events & EPOLLERR) !== 0) this.#drainErrors(flow)
    const { view } = this.#receiver.buffer
    for (let round = 0; round < EVENTS_AT_ONCE && flow.fd >= 0; round++) {
      const count = this.#receiver.receive(flow.fd)
      if (count < 0) return
      for (let index = 0; index < count; index++) {
        const at = this.#receiver.offset(index)
        const payloadBytes = this.#receiver.length(index) - ICMP_HEADER_BYTES
        if (payloadBytes < 0) continue
        if (view.getUint8(at) !== (flow.isIpv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)) continue
        const sequence = view.getUint16(at + ICMP_SEQUENCE)
        const payload = at + ICMP_HEADER_BYTES
        this.#owner.reply(flow, sequence, UNKNOWN_HOP_LIMIT, this.#receiver.buffer, payload, payloadBytes)
      }
    }
  }

  #drainErrors(flow: PingFlow): number {
    let count = 0
    while (count < EVENTS_AT_ONCE && this.#errors.take(flow.fd)) {
      count++
      const { origin, type, code, info, hasOffender, offender } = this.#errors
      if (origin !== ORIGIN_LOCAL)
        this.#owner.error(
          flow,
          this.#errors.quotedSequence,
          type,
          code,
          info,
          hasOffender ? offender : undefined,
        )
    }
    return count
  }
}
