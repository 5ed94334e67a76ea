// UDP of the guests: each flow has a connected socket of the host, so that answers and errors find their way by the
// kernel's own tables, and only the other end that was spoken to can answer (address- and port-dependent, RFC 4787 §5).
// Flows end by disuse, and the least used go first where there are too many.
import { EPOLLERR } from '../../sys/epoll.ts'
import { EMFILE, ENFILE } from '../../sys/errno.ts'
import { closeDescriptor } from '../../sys/socket.ts'
import { FlowTable } from '../flow/flow-table.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import { GSO_UDP_L4, PROTOCOL_UDP, UDP_HEADER_BYTES } from '../frame/layout.ts'
import { type GatewayIdentity, isGatewayAddress } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import { icmpErrorOfErrno } from '../icmp/errno-errors.ts'
import type { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { FlowReport, FlowSource, ProtocolHandler } from '../packet/protocol-handler.ts'
import type { NetworkLimits } from '../settings.ts'
import { UdpErrors } from './udp-errors.ts'
import { UdpFlow, type UdpFlowOwner } from './udp-flow.ts'
import type { UdpForward } from './udp-forward.ts'
import { UdpForwards } from './udp-forwards.ts'
import { UdpGateway, type UdpGatewayServices } from './udp-gateway.ts'
import { type UdpGuestLimits, UdpGuests } from './udp-guests.ts'
import { UdpInput } from './udp-input.ts'
import { UdpOutput } from './udp-output.ts'
import { openUdpSocket, setHopLimit } from './udp-socket.ts'

const DNS_PORT = 53
const NTP_PORT = 123
const DNS_ANSWERED_MS = 10_000
const NTP_ANSWERED_MS = 30_000
/** A guest's own hop limit counts from here down; above, the host's kernel has its own. */
const DEFAULT_HOP_LIMIT = 64
const KERNEL_HOP_LIMIT = -1

export type UdpLimits = UdpGuestLimits & Pick<NetworkLimits, 'udpOneWayMs' | 'udpAnsweredMs'>

export interface UdpFlowsOptions {
  readonly limits: UdpLimits
  readonly gateway: GatewayIdentity
  readonly icmp: IcmpErrorSender
  readonly services: UdpGatewayServices
}

export class UdpFlows implements ProtocolHandler, FlowSource, UdpFlowOwner {
  readonly #context: PacketContext
  readonly #limits: UdpLimits
  readonly #gateway: GatewayIdentity
  readonly #icmp: IcmpErrorSender
  readonly #table = new FlowTable<UdpFlow>()
  readonly #guests: UdpGuests
  readonly #errors: UdpErrors
  readonly #input: UdpInput
  readonly #output: UdpOutput
  readonly #forwards: UdpForwards
  readonly #services: UdpGateway
  readonly #drainErrors: (flow: UdpFlow) => void

  constructor(context: PacketContext, options: UdpFlowsOptions) {
    this.#context = context
    this.#limits = options.limits
    this.#gateway = options.gateway
    this.#icmp = options.icmp
    this.#guests = new UdpGuests(options.limits, (flow) => this.#close(flow))
    const writer = new DatagramWriter(context.transmit, options.gateway.mac)
    this.#errors = new UdpErrors(options.icmp)
    this.#input = new UdpInput(writer)
    this.#output = new UdpOutput(context, this.#errors)
    this.#forwards = new UdpForwards(context, options.gateway, this.#input, {
      isTaken: (port, remote0, remote1, remote2, remote3, guestPort, remotePort) =>
        this.#table.find(port.index, remote0, remote1, remote2, remote3, guestPort, remotePort) !== undefined,
      adopt: (flow) => this.#adopt(flow),
      mayOpen: (port) => this.#guests.makeRoom(port, this.#context.nowMs),
      used: (flow) => this.#touch(flow),
      owner: this,
      close: (flow) => this.#close(flow),
    })
    this.#services = new UdpGateway(writer, options.icmp, options.services)
    this.#drainErrors = (flow) => {
      this.#errors.drain(flow)
    }
  }

  get flowCount(): number {
    return this.#table.size
  }

  flowCountOf(port: GuestPort): number {
    return this.#guests.countOf(port)
  }

  frame(port: GuestPort, frame: Frame): void {
    const { view } = frame.buffer
    const { transport } = frame
    const guestPort = view.getUint16(transport)
    const remotePort = view.getUint16(transport + 2)
    // Of the length field, which the parser has compared with the packet's.
    const payloadBytes = view.getUint16(transport + 4) - UDP_HEADER_BYTES
    const { destination0, destination1, destination2, destination3 } = frame
    let flow = this.#table.find(
      port.index,
      destination0,
      destination1,
      destination2,
      destination3,
      guestPort,
      remotePort,
    )
    if (flow === undefined) {
      if (isGatewayAddress(this.#gateway, destination0, destination1, destination2, destination3)) {
        this.#services.frame(port, frame, this.#guests.listOf(port).queries, this.#context.nowMs)
        return
      }
      flow = this.#open(port, frame, guestPort, remotePort)
      if (flow === undefined) return
    }
    if (flow.client === undefined) {
      if (frame.hopLimit <= 1) {
        port.drop('hop-limit')
        this.#icmp.answer(port, frame, 'hop-limit')
        return
      }
      this.#setHopLimit(flow, frame.hopLimit)
    } else flow.isAnswered = true
    this.#touch(flow)
    flow.outBytes += payloadBytes
    const payload = transport + UDP_HEADER_BYTES
    if (frame.gsoType === GSO_UDP_L4)
      this.#output.addTrain(flow, frame.buffer, payload, payloadBytes, frame.gsoSizeBytes)
    else this.#output.add(flow, frame.buffer, payload, payloadBytes)
  }

  portGone(port: GuestPort): void {
    this.#output.flush()
    this.#guests.portGone(port)
  }

  /**
   * Publishes a port: datagrams that reach the bound socket `fd` go to the guest's port, answers back from it. The
   * descriptor is ours from now on. `portOf` says where the guest is. Throws NetError where it cannot be watched.
   */
  addForward(portOf: () => GuestPort | undefined, fd: number, guestPort: number): UdpForward {
    return this.#forwards.add(portOf, fd, guestPort)
  }

  /** Ends it: its flows are closed, and its descriptor. Does nothing the second time. */
  removeForward(forward: UdpForward): void {
    this.#output.flush()
    this.#forwards.remove(forward)
  }

  /** Sends what the DNS forwarder found, from port 53 of the gateway. */
  answerFromGateway(port: GuestPort, isIpv6: boolean, guestPort: number, bytes: Uint8Array): void {
    if (!port.isGone) this.#services.answer(port, this.#gateway, isIpv6, guestPort, bytes)
  }

  *reports(): Iterable<FlowReport> {
    for (const flow of this.#table.values())
      yield {
        port: flow.port,
        protocol: 'udp',
        direction: flow.client === undefined ? 'out' : 'in',
        remote0: flow.remote0,
        remote1: flow.remote1,
        remote2: flow.remote2,
        remote3: flow.remote3,
        guestPort: flow.guestPort,
        remotePort: flow.remotePort,
        state: flow.isAnswered ? 'answered' : 'one-way',
        inBytes: flow.inBytes,
        outBytes: flow.outBytes,
        startedAtMs: flow.startedAtMs,
        activeAtMs: flow.activeAtMs,
      }
  }

  socketEvents(flow: UdpFlow, events: number): void {
    if ((events & EPOLLERR) !== 0) this.#errors.drain(flow)
    this.continueReceiving(flow)
  }

  continueReceiving(flow: UdpFlow): void {
    if (flow.isClosed) return
    const before = flow.inDatagrams
    const outcome = this.#input.receive(flow, this.#drainErrors)
    if (flow.inDatagrams !== before) {
      flow.isAnswered = true
      this.#touch(flow)
    }
    if (outcome === 'more') this.#context.due(flow)
  }

  expire(flow: UdpFlow, nowMs: number): void {
    const dueMs = flow.activeAtMs + this.#timeoutMs(flow)
    if (dueMs > nowMs) this.#context.timers.start(flow.timer, dueMs)
    else this.#close(flow)
  }

  #timeoutMs(flow: UdpFlow): number {
    if (!flow.isAnswered) return this.#limits.udpOneWayMs
    if (flow.client !== undefined) return this.#limits.udpAnsweredMs
    if (flow.remotePort === DNS_PORT) return DNS_ANSWERED_MS
    return flow.remotePort === NTP_PORT ? NTP_ANSWERED_MS : this.#limits.udpAnsweredMs
  }

  #open(port: GuestPort, frame: Frame, guestPort: number, remotePort: number): UdpFlow | undefined {
    const { destination0, destination1, destination2, destination3, isIpv6 } = frame
    const isToMany = isIpv6 ? destination0 >>> 24 === 0xff : destination3 >>> 28 >= 14
    if (isToMany || remotePort === 0) {
      port.drop(isToMany ? 'multicast' : 'malformed')
      return undefined
    }
    const verdict = port.policy.verdict(
      destination0,
      destination1,
      destination2,
      destination3,
      PROTOCOL_UDP,
      remotePort,
    )
    if (verdict !== 'allowed') {
      port.drop(verdict)
      this.#icmp.answer(port, frame, 'prohibited')
      return undefined
    }
    if (!this.#guests.makeRoom(port, this.#context.nowMs)) return undefined
    const fd = this.#connect(port, frame, remotePort)
    if (fd < 0) {
      port.drop(fd === -EMFILE || fd === -ENFILE ? 'descriptor-limit' : 'host-refused')
      const kind = icmpErrorOfErrno(-fd)
      if (kind !== undefined) this.#icmp.answer(port, frame, kind)
      return undefined
    }
    const { nowMs } = this.#context
    const flow = new UdpFlow(
      this,
      port,
      destination0,
      destination1,
      destination2,
      destination3,
      guestPort,
      remotePort,
      isIpv6,
      fd,
      nowMs,
      undefined,
    )
    flow.token = this.#context.watcher.watch(fd, flow, false)
    this.#adopt(flow)
    return flow
  }

  /** A connected socket to the frame's destination, or a negative errno. */
  #connect(port: GuestPort, frame: Frame, remotePort: number): number {
    const { destination0, destination1, destination2, destination3 } = frame
    const fd = openUdpSocket(destination0, destination1, destination2, destination3, remotePort)
    if ((fd !== -EMFILE && fd !== -ENFILE) || !this.#guests.giveUpOldest(port)) return fd
    return openUdpSocket(destination0, destination1, destination2, destination3, remotePort)
  }

  #adopt(flow: UdpFlow): void {
    this.#table.insert(flow)
    this.#guests.add(flow)
    flow.port.flowsOpened++
    this.#context.timers.start(flow.timer, this.#context.nowMs + this.#timeoutMs(flow))
  }

  #touch(flow: UdpFlow): void {
    flow.activeAtMs = this.#context.nowMs
    this.#guests.touch(flow)
  }

  #close(flow: UdpFlow): void {
    if (flow.isClosed) return
    if (flow.firstPending >= 0) this.#output.flush()
    flow.isClosed = true
    this.#context.timers.stop(flow.timer)
    this.#table.remove(flow)
    this.#guests.remove(flow)
    if (flow.client !== undefined) this.#forwards.forget(flow.client)
    else {
      this.#context.watcher.unwatch(flow.fd, flow.token)
      closeDescriptor(flow.fd)
    }
  }

  /** The hop limit that the guest chose, less this hop: traceroute finds routers by it. */
  #setHopLimit(flow: UdpFlow, guestHopLimit: number): void {
    const wanted = guestHopLimit >= DEFAULT_HOP_LIMIT ? KERNEL_HOP_LIMIT : guestHopLimit - 1
    if (wanted === flow.hopLimit) return
    if (flow.firstPending >= 0) this.#output.flush()
    flow.hopLimit = wanted
    setHopLimit(flow.fd, flow.isIpv6, wanted)
  }
}
