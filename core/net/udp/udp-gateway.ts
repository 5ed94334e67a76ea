// UDP to the gateway itself: questions of DNS, of DHCP, and everything else, where nobody listens.
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import { MAPPED_PREFIX } from '../address.ts'
import type { TokenBucket } from '../flow/rate-limit.ts'
import type { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_UDP, UDP_HEADER_BYTES } from '../frame/layout.ts'
import { DHCP_SERVER_PORT } from '../gateway/dhcp.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'

const DNS_PORT = 53
const LINK_LOCAL_PREFIX = 0xfe80_0000 | 0
const LONGEST_ANSWER_BYTES = 65_507

export interface UdpGatewayServices {
  /** A question for the DNS forwarder: `UdpFlows.answerFromGateway()` takes the answer. `bytes` are the callee's. */
  dns(port: GuestPort, guestPort: number, bytes: Uint8Array, isIpv6: boolean): void
  /** A DHCP request that was sent to the gateway's address (a renewal). */
  dhcp(port: GuestPort, frame: Frame): void
}

export class UdpGateway {
  readonly #writer: DatagramWriter
  readonly #icmp: IcmpErrors
  readonly #services: UdpGatewayServices
  readonly #answer = new PinnedBuffer(LONGEST_ANSWER_BYTES)

  constructor(writer: DatagramWriter, icmp: IcmpErrors, services: UdpGatewayServices) {
    this.#writer = writer
    this.#icmp = icmp
    this.#services = services
  }

  /** Handles a datagram to one of the gateway's addresses. `queries` limits the guest's questions. */
  frame(port: GuestPort, frame: Frame, queries: TokenBucket, nowMs: number): void {
    const { view, bytes } = frame.buffer
    const { transport } = frame
    const gatewayPort = view.getUint16(transport + 2)
    // Answers come from the global address, so who asks the link-local one would not take them.
    if (gatewayPort === DNS_PORT && frame.destination0 !== LINK_LOCAL_PREFIX) {
      if (!queries.take(nowMs)) {
        port.drop('rate')
        return
      }
      const end = transport + view.getUint16(transport + 4)
      const question = bytes.slice(transport + UDP_HEADER_BYTES, end)
      this.#services.dns(port, view.getUint16(transport), question, frame.isIpv6)
      return
    }
    if (gatewayPort === DHCP_SERVER_PORT && !frame.isIpv6) this.#services.dhcp(port, frame)
    else this.#icmp.answer(port, frame, 'port-unreachable')
  }

  /** Sends `bytes` from port 53 of the gateway's address of the family. */
  answer(
    port: GuestPort,
    gateway: GatewayIdentity,
    isIpv6: boolean,
    guestPort: number,
    bytes: Uint8Array,
  ): void {
    if (bytes.length > LONGEST_ANSWER_BYTES) {
      port.drop('oversized')
      return
    }
    this.#answer.bytes.set(bytes)
    const transport = this.#writer.begin(isIpv6)
    const { view } = this.#writer.target
    view.setUint16(transport, DNS_PORT)
    view.setUint16(transport + 2, guestPort)
    view.setUint16(transport + 4, UDP_HEADER_BYTES + bytes.length)
    view.setUint16(transport + 6, 0)
    const { ipv6, ipv4 } = gateway
    this.#writer.send(
      port,
      isIpv6 ? ipv6[0] : 0,
      isIpv6 ? ipv6[1] : 0,
      isIpv6 ? ipv6[2] : MAPPED_PREFIX,
      isIpv6 ? ipv6[3] : ipv4,
      PROTOCOL_UDP,
      UDP_HEADER_BYTES,
      this.#answer,
      0,
      bytes.length,
    )
  }
}
