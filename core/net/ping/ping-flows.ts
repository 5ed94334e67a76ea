// Pings of the guests to the world: each (guest, destination, identifier) is a flow, and its answers come back with the
// guest's identifier. ICMP errors about requests are handed on, which is what traceroute by ICMP lives on.
import { EACCES, EPERM } from '../../sys/errno.ts'
import type { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { SocketAddress } from '../../sys/socket-address.ts'
import { FlowTable } from '../flow/flow-table.ts'
import { TokenBucket } from '../flow/rate-limit.ts'
import { DatagramWriter } from '../fragments/datagram-writer.ts'
import type { Frame } from '../frame/frame.ts'
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6 } from '../frame/layout.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import { icmpErrorOfErrno } from '../icmp/errno-errors.ts'
import type { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import {
  ICMP_ECHO_REPLY,
  ICMP_HEADER_BYTES,
  ICMP_IDENTIFIER,
  ICMP_SEQUENCE,
  ICMPV6_ECHO_REPLY,
} from '../icmp/icmp-layout.ts'
import { mayBeNamed } from '../icmp/offender.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { FlowReport, FlowSource, ProtocolHandler } from '../packet/protocol-handler.ts'
import type { NetworkLimits } from '../settings.ts'
import type { EchoPath, EchoReceiver } from './echo-path.ts'
import { PingFlow } from './ping-flow.ts'
import { RawEchoPath } from './raw-echo-path.ts'
import { SocketEchoPath } from './socket-echo-path.ts'

export interface PingFlowsOptions {
  readonly limits: Pick<NetworkLimits, 'pingFlows' | 'echoesPerSecond' | 'pingMs'>
  readonly gateway: GatewayIdentity
  readonly icmp: IcmpErrorSender
}

/** The flows of one guest, in the order of their last use. */
class GuestPings {
  readonly flows = new Set<PingFlow>()
  readonly echoes: TokenBucket

  constructor(echoesPerSecond: number) {
    this.echoes = new TokenBucket(echoesPerSecond)
  }
}

export class PingFlows implements ProtocolHandler, FlowSource, EchoReceiver {
  readonly #context: PacketContext
  readonly #options: PingFlowsOptions
  readonly #writer: DatagramWriter
  readonly #table = new FlowTable<PingFlow>()
  readonly #guests = new Map<GuestPort, GuestPings>()
  readonly #sockets: SocketEchoPath
  #raw4: RawEchoPath | undefined
  #raw6: RawEchoPath | undefined

  constructor(context: PacketContext, options: PingFlowsOptions) {
    this.#context = context
    this.#options = options
    this.#writer = new DatagramWriter(context.transmit, options.gateway.mac)
    this.#sockets = new SocketEchoPath(context, this)
  }

  /**
   * Takes the raw ICMP sockets that the core host opened, in place of those from before; -1 where there is none, and ping
   * sockets are tried. The descriptors are ours from now on.
   */
  useRawSockets(fd4: number, fd6: number): void {
    for (const flow of [...this.#table.values()]) this.#close(flow)
    this.#raw4?.dispose()
    this.#raw6?.dispose()
    this.#raw4 = fd4 < 0 ? undefined : new RawEchoPath(this.#context, this, false, fd4)
    this.#raw6 = fd6 < 0 ? undefined : new RawEchoPath(this.#context, this, true, fd6)
  }

  get flowCount(): number {
    return this.#table.size
  }

  flowCountOf(port: GuestPort): number {
    return this.#guests.get(port)?.flows.size ?? 0
  }

  /** An echo request to a place that is neither the gateway nor a guest. */
  frame(port: GuestPort, frame: Frame): void {
    const { nowMs } = this.#context
    const pings = this.#pingsOf(port)
    if (!pings.echoes.take(nowMs)) {
      port.drop('rate')
      return
    }
    const { destination0, destination1, destination2, destination3 } = frame
    const identifier = frame.buffer.view.getUint16(frame.transport + ICMP_IDENTIFIER)
    const flow =
      this.#table.find(port.index, destination0, destination1, destination2, destination3, identifier, 0) ??
      this.#open(port, frame, identifier, pings)
    if (flow === undefined) return
    pings.flows.delete(flow)
    pings.flows.add(flow)
    flow.activeAtMs = nowMs
    const failed = flow.path.send(flow, frame)
    if (failed === 0) flow.outBytes += frame.end - frame.transport
    else this.#refused(port, frame, -failed)
  }

  portGone(port: GuestPort): void {
    for (const flow of this.#guests.get(port)?.flows ?? []) this.#close(flow)
    this.#guests.delete(port)
  }

  *reports(): Iterable<FlowReport> {
    for (const flow of this.#table.values())
      yield {
        port: flow.port,
        protocol: 'icmp',
        direction: 'out',
        remote0: flow.remote0,
        remote1: flow.remote1,
        remote2: flow.remote2,
        remote3: flow.remote3,
        guestPort: flow.guestPort,
        remotePort: 0,
        state: flow.isAnswered ? 'answered' : 'one-way',
        inBytes: flow.inBytes,
        outBytes: flow.outBytes,
        startedAtMs: flow.startedAtMs,
        activeAtMs: flow.activeAtMs,
      }
  }

  reply(
    flow: PingFlow,
    sequence: number,
    hopLimit: number,
    payload: PinnedBuffer,
    payloadOffset: number,
    payloadBytes: number,
  ): void {
    const writer = this.#writer
    const transport = writer.begin(flow.isIpv6)
    const { view } = writer.target
    view.setUint8(transport, flow.isIpv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHO_REPLY)
    view.setUint8(transport + 1, 0)
    view.setUint16(transport + ICMP_IDENTIFIER, flow.guestPort)
    view.setUint16(transport + ICMP_SEQUENCE, sequence)
    writer.send(
      flow.port,
      flow.remote0,
      flow.remote1,
      flow.remote2,
      flow.remote3,
      flow.protocol,
      ICMP_HEADER_BYTES,
      payload,
      payloadOffset,
      payloadBytes,
      // The gateway is one hop more, and a packet that arrived never dies of it.
      Math.max(1, hopLimit - 1),
    )
    flow.isAnswered = true
    flow.activeAtMs = this.#context.nowMs
    flow.inBytes += ICMP_HEADER_BYTES + payloadBytes
  }

  error(
    flow: PingFlow,
    sequence: number,
    type: number,
    code: number,
    info: number,
    offender: SocketAddress | undefined,
  ): void {
    flow.sequence = sequence
    const { icmp } = this.#options
    if (offender === undefined || !mayBeNamed(flow.isIpv6, offender))
      icmp.fromGateway(flow.port, flow, type, code, info)
    else {
      const { word0, word1, word2, word3 } = offender
      icmp.fromRouter(flow.port, flow, type, code, info, word0, word1, word2, word3)
    }
  }

  #open(port: GuestPort, frame: Frame, identifier: number, pings: GuestPings): PingFlow | undefined {
    const { destination0, destination1, destination2, destination3, isIpv6 } = frame
    const verdict = port.policy.verdict(
      destination0,
      destination1,
      destination2,
      destination3,
      isIpv6 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP,
      0,
    )
    if (verdict !== 'allowed') {
      port.drop(verdict)
      this.#options.icmp.answer(port, frame, 'prohibited')
      return undefined
    }
    for (const oldest of pings.flows) {
      if (pings.flows.size < this.#options.limits.pingFlows) break
      port.drop('flow-limit')
      this.#close(oldest)
    }
    const path: EchoPath = (isIpv6 ? this.#raw6 : this.#raw4) ?? this.#sockets
    const flow = new PingFlow(
      port,
      destination0,
      destination1,
      destination2,
      destination3,
      identifier,
      isIpv6,
      path,
      this.#context.nowMs,
      (expired, nowMs) => this.#expire(expired, nowMs),
    )
    const failed = path.open(flow)
    if (failed < 0) {
      this.#refused(port, frame, -failed)
      return undefined
    }
    this.#table.insert(flow)
    pings.flows.add(flow)
    port.flowsOpened++
    this.#context.timers.start(flow.timer, this.#context.nowMs + this.#options.limits.pingMs)
    return flow
  }

  /** The host let the request not out. Where it allows no pings at all the guest just hears nothing. */
  #refused(port: GuestPort, frame: Frame, errno: number): void {
    port.drop('host-refused')
    if (errno === EACCES || errno === EPERM) return
    const kind = icmpErrorOfErrno(errno)
    if (kind !== undefined) this.#options.icmp.answer(port, frame, kind)
  }

  #expire(flow: PingFlow, nowMs: number): void {
    const dueMs = flow.activeAtMs + this.#options.limits.pingMs
    if (dueMs > nowMs) this.#context.timers.start(flow.timer, dueMs)
    else this.#close(flow)
  }

  #close(flow: PingFlow): void {
    this.#context.timers.stop(flow.timer)
    this.#table.remove(flow)
    this.#guests.get(flow.port)?.flows.delete(flow)
    flow.path.close(flow)
  }

  #pingsOf(port: GuestPort): GuestPings {
    let pings = this.#guests.get(port)
    if (pings === undefined) {
      pings = new GuestPings(this.#options.limits.echoesPerSecond)
      this.#guests.set(port, pings)
    }
    return pings
  }
}
