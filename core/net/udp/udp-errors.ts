// What went wrong with a flow's datagrams, told to the guest: what the host's socket refused, and what routers and the other
// end said by ICMP, which the kernel keeps in the socket's error queue (IP_RECVERR of ip(7)).
import { EAGAIN, ECONNREFUSED, EMSGSIZE, ENOBUFS } from '../../sys/errno.ts'
import { ErrorQueue, ORIGIN_ICMP, ORIGIN_ICMPV6 } from '../../sys/error-queue.ts'
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { socketName, socketOption } from '../../sys/socket.ts'
import { readSocketAddress, SocketAddress } from '../../sys/socket-address.ts'
import { icmpErrorOfErrno } from '../icmp/errno-errors.ts'
import type { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import { ICMP_TOO_BIG_CODE, ICMP_UNREACHABLE, ICMPV6_TOO_BIG } from '../icmp/icmp-layout.ts'
import { mayBeNamed } from '../icmp/offender.ts'
import type { UdpFlow } from './udp-flow.ts'

const IPPROTO_IP = 0
const IP_MTU = 14
const IPPROTO_IPV6 = 41
const IPV6_MTU = 24
/** More in one go is a flood: the rest is read at the next event. */
const ERRORS_AT_ONCE = 32

export class UdpErrors {
  readonly #icmp: IcmpErrorSender
  readonly #queue = new ErrorQueue()
  readonly #nameBytes = new PinnedBuffer(32)
  readonly #local = new SocketAddress()
  /** Errors that the host's own kernel queued, about what it was just given. */
  #localErrors = 0

  constructor(icmp: IcmpErrorSender) {
    this.#icmp = icmp
  }

  /** The socket refused a datagram of `flow`. True where it may be tried again: the error was about an earlier one. */
  sendFailed(flow: UdpFlow, errno: number): boolean {
    // No room for now: UDP may lose.
    if (errno === EAGAIN || errno === ENOBUFS) {
      flow.port.drop('host-refused')
      return false
    }
    if (flow.client === undefined) {
      this.#localErrors = 0
      if (this.drain(flow) > this.#localErrors) return true
      if (this.#localErrors > 0) {
        // The kernel has queued this very refusal, and the guest has been told.
        flow.port.drop('host-refused')
        return false
      }
    }
    // The kernel keeps one error for the next call, even when its queue is empty by now.
    if (errno === ECONNREFUSED) return true
    flow.port.drop('host-refused')
    const kind = icmpErrorOfErrno(errno)
    if (kind !== undefined) this.#icmp.about(flow.port, flow, kind, errno === EMSGSIZE ? mtuOf(flow) : 0)
    return false
  }

  /** Reads the error queue of `flow` and hands on what it says. How many errors there were. */
  drain(flow: UdpFlow): number {
    let count = 0
    while (count < ERRORS_AT_ONCE && this.#queue.take(flow.fd)) {
      count++
      const { origin, errno, info } = this.#queue
      if (origin === ORIGIN_ICMP || origin === ORIGIN_ICMPV6) this.#handOn(flow)
      else {
        this.#localErrors++
        const kind = icmpErrorOfErrno(errno)
        if (kind !== undefined) this.#icmp.about(flow.port, flow, kind, errno === EMSGSIZE ? info : 0)
      }
    }
    return count
  }

  #handOn(flow: UdpFlow): void {
    const { type, code, info, offender } = this.#queue
    const isTooBig = flow.isIpv6
      ? type === ICMPV6_TOO_BIG
      : type === ICMP_UNREACHABLE && code === ICMP_TOO_BIG_CODE
    const mtu = isTooBig ? info : 0
    if (this.#isForeignOffender(flow))
      this.#icmp.fromRouter(
        flow.port,
        flow,
        type,
        code,
        mtu,
        offender.word0,
        offender.word1,
        offender.word2,
        offender.word3,
        this.#queue,
      )
    else this.#icmp.fromGateway(flow.port, flow, type, code, mtu, this.#queue)
  }

  /** Whether the guest may hear from who found the fault: not from the host itself, nor from its loopback. */
  #isForeignOffender(flow: UdpFlow): boolean {
    const { offender, hasOffender } = this.#queue
    if (!hasOffender) return false
    if (!mayBeNamed(flow.isIpv6, offender)) return false
    if (socketName(flow.fd, this.#nameBytes) < 0 || !readSocketAddress(this.#nameBytes, this.#local))
      return false
    const { word0, word1, word2, word3 } = this.#local
    return (
      word3 !== offender.word3 ||
      word2 !== offender.word2 ||
      word1 !== offender.word1 ||
      word0 !== offender.word0
    )
  }
}

/** What the kernel knows of the path of a connected socket: bytes of an IP packet, 0 where it knows nothing. */
function mtuOf(flow: UdpFlow): number {
  const mtu = flow.isIpv6
    ? socketOption(flow.fd, IPPROTO_IPV6, IPV6_MTU)
    : socketOption(flow.fd, IPPROTO_IP, IP_MTU)
  return Math.max(0, mtu)
}
