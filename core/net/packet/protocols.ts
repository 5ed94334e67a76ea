// All protocols of the packet path, made and joined to each other: what a frame goes through after its device.
import { ECONNREFUSED } from '../../sys/errno.ts'
import { makeSocketPair } from '../../sys/socket-pair.ts'
import { SystemError } from '../../sys/system-error.ts'
import type { FlowJournal } from '../flow/flow-journal.ts'
import { FlowJournalReplay } from '../flow/flow-journal-replay.ts'
import { Reassembly } from '../fragments/reassembly.ts'
import { type GatewayIdentity, gatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import { IcmpErrorSender } from '../icmp/icmp-error-sender.ts'
import { PingFlows } from '../ping/ping-flows.ts'
import type { NetworkSettings } from '../settings.ts'
import { GuestSwitch } from '../switch/guest-switch.ts'
import { KernelStreamSockets } from '../tcp/kernel-stream-sockets.ts'
import type { StreamSockets } from '../tcp/stream-sockets.ts'
import { TcpStack } from '../tcp/tcp-stack.ts'
import { UdpFlows } from '../udp/udp-flows.ts'
import { Dispatcher } from './dispatcher.ts'
import { GatewayWire } from './gateway-wire.ts'
import type { PacketContext } from './packet-context.ts'
import { tellTooBig } from './too-big.ts'

const DNS_PORT = 53

export interface ProtocolsOptions {
  readonly context: PacketContext
  readonly settings: NetworkSettings
  /** Raw sockets for ICMP and ICMPv6, where the core host could open them: the protocols' own from now on. */
  readonly rawIcmp: { readonly ipv4?: number | undefined; readonly ipv6?: number | undefined } | undefined
  readonly sockets: StreamSockets | undefined
  readonly journal: FlowJournal | undefined
  /** As of EngineServices. */
  readonly dns: (guest: string, guestPort: number, isIpv6: boolean, question: Uint8Array) => void
  readonly dnsStream: (guest: string, fd: number) => void
}

export class Protocols implements Disposable {
  readonly gateway: GatewayIdentity
  readonly wire: GatewayWire
  readonly guestSwitch: GuestSwitch
  readonly tcp: TcpStack
  readonly udp: UdpFlows
  readonly ping: PingFlows
  readonly dispatcher: Dispatcher
  readonly #icmp: IcmpErrorSender
  readonly #reassembly: Reassembly
  readonly #replay: FlowJournalReplay | undefined
  readonly #options: ProtocolsOptions

  /** Throws NetError where the settings make no sense. */
  constructor(options: ProtocolsOptions) {
    const { context, settings, rawIcmp, dns, journal } = options
    const { limits, zone } = settings
    this.#options = options
    this.gateway = gatewayIdentity(settings)
    const { gateway } = this
    const icmp = new IcmpErrorSender(context, gateway, limits.icmpErrorsPerSecond)
    this.#icmp = icmp
    this.#reassembly = new Reassembly(context, limits, icmp)
    this.wire = new GatewayWire({ context, gateway, zone, echoesPerSecond: limits.echoesPerSecond })
    this.guestSwitch = new GuestSwitch(context, gateway, icmp)
    this.tcp = new TcpStack(context, {
      sockets: options.sockets ?? new KernelStreamSockets(),
      limits,
      gateway,
      icmp,
      localService: (port, remotePort) => this.#localService(port, remotePort),
      journal,
    })
    if (journal !== undefined)
      this.#replay = new FlowJournalReplay({
        context,
        gatewayMac: gateway.mac,
        journal,
        isOpen: (port, flow) => this.tcp.isOpen(port, flow),
      })
    this.udp = new UdpFlows(context, {
      limits,
      gateway,
      icmp,
      services: {
        dns: (port, guestPort, question, isIpv6) => dns(port.id, guestPort, isIpv6, question),
        dhcp: (port, frame) => this.wire.dhcp(port, frame),
      },
    })
    this.ping = new PingFlows(context, { limits, gateway, icmp })
    this.ping.useRawSockets(rawIcmp?.ipv4 ?? -1, rawIcmp?.ipv6 ?? -1)
    this.dispatcher = new Dispatcher({
      gateway,
      wire: this.wire,
      guestSwitch: this.guestSwitch,
      reassembly: this.#reassembly,
      icmp,
      tcp: this.tcp,
      udp: this.udp,
      ping: this.ping,
      tooBig: (port, frame) => tellTooBig(this.tcp, port, frame),
    })
  }

  /** A guest is here: `search` are its domains. */
  portAdded(port: GuestPort, search: readonly string[]): void {
    this.guestSwitch.add(port)
    this.wire.add(port, search)
    this.#replay?.guestAdded(port)
  }

  /** The guest is gone, or its device is: everything of it is let go. */
  portGone(port: GuestPort): void {
    this.#replay?.guestGone(port)
    this.guestSwitch.remove(port)
    this.tcp.portGone(port)
    this.udp.portGone(port)
    this.ping.portGone(port)
    this.#reassembly.portGone(port)
    this.wire.portGone(port)
    this.#icmp.portGone(port)
  }

  /** The engine ends in order. What is open stays in the journal, for who does not get its reset. */
  resetAll(ports: Iterable<GuestPort>): void {
    this.#options.journal?.keep()
    for (const port of ports) this.tcp.resetAll(port)
  }

  /** Closes the raw sockets. Guests have gone before. */
  [Symbol.dispose](): void {
    this.#replay?.[Symbol.dispose]()
    this.ping.useRawSockets(-1, -1)
  }

  /** A connection to the gateway: DNS is answered by another thread, at the other end of a socket pair. */
  #localService(port: GuestPort, remotePort: number): number {
    if (remotePort !== DNS_PORT) return -ECONNREFUSED
    try {
      const [near, far] = makeSocketPair()
      this.#options.dnsStream(port.id, far)
      return near
    } catch (error) {
      if (error instanceof SystemError) return -error.errno
      throw error
    }
  }
}
