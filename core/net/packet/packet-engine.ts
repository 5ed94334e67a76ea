// The packet path as a whole: guests with their devices, the protocols, the gateway, and what the control thread asks of
// them. It knows no thread and no message port: the engine's packet thread drives it, and so do tests.
import { MAPPED_PREFIX, parseAddress } from '../address.ts'
import type { FrameDevice } from '../device/frame-device.ts'
import { PacketFrameDevice } from '../device/packet-device.ts'
import { TapFrameDevice } from '../device/tap-device.ts'
import type { EngineFlow, EngineStats, GuestMessage } from '../engine/messages.ts'
import { NetError } from '../errors.ts'
import type { FlowJournal } from '../flow/flow-journal.ts'
import { TokenBucket } from '../flow/rate-limit.ts'
import { type Forward, Forwards } from '../forwards/forwards.ts'
import { Frame } from '../frame/frame.ts'
import { parseMac } from '../gateway/gateway-identity.ts'
import { GuestPort } from '../guest-port.ts'
import { compilePeerPolicy, compilePolicy } from '../policy/range-policy.ts'
import type { NetworkSettings } from '../settings.ts'
import type { StreamSockets } from '../tcp/stream-sockets.ts'
import { engineFlow, guestStats } from './engine-reports.ts'
import type { PacketLoop } from './packet-loop.ts'
import { PortReader, type PortReaderOwner } from './port-reader.ts'
import { Protocols } from './protocols.ts'

/** Connections of the host's own get a source port of this range, as its kernel would take one (ip(7)). */
const FIRST_EPHEMERAL_PORT = 32_768
const EPHEMERAL_PORTS = 28_232

/** What the packet path needs of its surroundings. Nothing here may throw. */
export interface EngineServices {
  /** A question to the gateway's port 53; `PacketEngine.answerDns()` takes the answer. */
  dns(guest: string, guestPort: number, isIpv6: boolean, question: Uint8Array): void
  /** A connection to the gateway's port 53: one end of a socket pair, the callee's. */
  dnsStream(guest: string, fd: number): void
  /** The guest's device is gone; the guest has been removed. */
  deviceLost(guest: string, reason: string): void
  /** For the log: seldom. */
  log(message: string): void
}

export interface PacketEngineOptions {
  readonly loop: PacketLoop
  readonly settings: NetworkSettings
  readonly services: EngineServices
  /** Raw sockets for ICMP and ICMPv6, where the core host could open them. */
  readonly rawIcmp?: { readonly ipv4?: number | undefined; readonly ipv6?: number | undefined }
  /** What the host calls its own, addresses and ranges: closed to guests. */
  readonly hostAddresses?: readonly string[]
  readonly sockets?: StreamSockets
  /** Where TCP flows are written down, and what an engine before this one left there. Not closed by this one. */
  readonly journal?: FlowJournal | undefined
  /** Puts something around a guest's device: tests have bad wires. */
  readonly wrapDevice?: (device: FrameDevice, guest: GuestMessage) => FrameDevice
}

/** A guest, with what belongs to it. */
interface Guest {
  readonly message: GuestMessage
  readonly port: GuestPort
  readonly reader: PortReader
}

export class PacketEngine implements PortReaderOwner, Disposable {
  readonly loop: PacketLoop
  readonly framesPerTurn: number
  readonly frame = new Frame()
  readonly #options: PacketEngineOptions
  readonly #protocols: Protocols
  readonly #forwards: Forwards
  readonly #guests = new Map<string, Guest>()
  readonly #defectLog = new TokenBucket(1, 1)
  #hostAddresses: readonly string[]
  #lastIndex = 0

  /** Throws NetError where the settings make no sense. */
  constructor(options: PacketEngineOptions) {
    const { loop, settings, services } = options
    const { limits } = settings
    this.#options = options
    this.loop = loop
    this.framesPerTurn = limits.framesPerTurn
    this.#hostAddresses = options.hostAddresses ?? []
    const { rawIcmp, sockets, journal } = options
    this.#protocols = new Protocols({
      context: loop,
      settings,
      rawIcmp,
      sockets,
      journal,
      dns: (guest, guestPort, isIpv6, question) => services.dns(guest, guestPort, isIpv6, question),
      dnsStream: (guest, fd) => services.dnsStream(guest, fd),
    })
    const { gateway, tcp, udp } = this.#protocols
    this.#forwards = new Forwards(loop, { gateway, tcp, udp, portOf: (id) => this.#guests.get(id)?.port })
  }

  /** The ids of the guests that it carries. */
  get guests(): readonly string[] {
    return [...this.#guests.keys()]
  }

  /**
   * A guest comes with its device, `fd`, which is the engine's from now on. One of the same id that is here already is let
   * go first. Throws NetError, and closes `fd` then.
   */
  addGuest(message: GuestMessage, fd: number): void {
    this.removeGuest(message.id)
    const plain = message.device === 'tap' ? new TapFrameDevice(fd) : new PacketFrameDevice(fd)
    const device = this.#options.wrapDevice?.(plain, message) ?? plain
    try {
      const { limits } = this.#options.settings
      const port = new GuestPort({
        index: ++this.#lastIndex,
        id: message.id,
        name: message.name,
        mac: parseMac(message.mac),
        ipv4: parseAddress(message.ipv4),
        ipv6: parseAddress(message.ipv6),
        mtu: message.mtu,
        configuration: message.configuration,
        mayMeetGuests: message.guests,
        policy: this.#policyOf(message),
        device,
        inFlightLimitBytes: message.device === 'tap' ? limits.tapInFlightBytes : limits.vifInFlightBytes,
      })
      port.peerPolicy = peerPolicyOf(message)
      const reader = new PortReader(port, this)
      this.#guests.set(message.id, { message, port, reader })
      this.#protocols.portAdded(port, message.search)
    } catch (error) {
      device.close()
      throw error
    }
  }

  /** What the guest may do has changed; its wire, its addresses and its flows stay. Throws NetError. */
  updateGuest(message: GuestMessage): void {
    const guest = this.#guest(message.id)
    guest.port.policy = this.#policyOf(message)
    guest.port.peerPolicy = peerPolicyOf(message)
    guest.port.mayMeetGuests = message.guests
    this.#guests.set(message.id, { ...guest, message: { ...guest.message, policy: message.policy } })
  }

  /** Lets everything of the guest go, its device too. Does nothing where there is none. */
  removeGuest(id: string): void {
    const guest = this.#guests.get(id)
    if (guest === undefined) return
    this.#guests.delete(id)
    const { port, reader } = guest
    port.isGone = true
    port.capture?.end()
    this.#protocols.portGone(port)
    reader.close()
  }

  /** What the host calls its own has changed: new flows are judged by it. */
  setHostAddresses(addresses: readonly string[]): void {
    this.#hostAddresses = addresses
    for (const { port, message } of this.#guests.values()) port.policy = this.#policyOf(message)
  }

  /**
   * Joins a connected socket, which is the engine's from now on, to a TCP port of the guest. `done` is told once whether
   * the guest took the connection. Throws NetError `net.no-guest`, and leaves the descriptor alone then.
   */
  connect(id: string, guestPort: number, fd: number, done: (accepted: boolean) => void): void {
    const { port } = this.#guest(id)
    const remotePort = FIRST_EPHEMERAL_PORT + Math.floor(Math.random() * EPHEMERAL_PORTS)
    this.#protocols.tcp.openInbound(
      port,
      fd,
      0,
      0,
      MAPPED_PREFIX,
      this.#protocols.gateway.ipv4,
      remotePort,
      guestPort,
      done,
    )
  }

  /** The answer to a question of `EngineServices.dns()`. Does nothing where the guest has gone. */
  answerDns(id: string, guestPort: number, isIpv6: boolean, answer: Uint8Array): void {
    const guest = this.#guests.get(id)
    if (guest !== undefined) this.#protocols.udp.answerFromGateway(guest.port, isIpv6, guestPort, answer)
  }

  /** Lets `start` hang a capture on the guest's port. Throws NetError `net.no-guest`, and what `start` throws. */
  startCapture(id: string, start: (port: GuestPort) => void): void {
    start(this.#guest(id).port)
  }

  /** Publishes a port: `fd` is its bound socket, the engine's from now on. Throws NetError, and closes it then. */
  addForward(forward: Forward, fd: number): void {
    this.#forwards.add(forward, fd)
  }

  /** Ends it. Does nothing where there is none. */
  removeForward(forward: Forward): void {
    this.#forwards.remove(forward)
  }

  stats(): Pick<EngineStats, 'guests' | 'flows' | 'poolBytes'> {
    for (const { reader } of this.#guests.values()) reader.countOverruns()
    const { tcp, udp, ping } = this.#protocols
    return {
      guests: [...this.#guests.values()].map(({ port }) => guestStats(port, this.#protocols)),
      flows: tcp.flowCount + udp.flowCount + ping.flowCount,
      poolBytes: tcp.poolBytes,
    }
  }

  /** The flows of one guest or of all. Throws NetError `net.no-guest`. */
  flows(id?: string): EngineFlow[] {
    const only = id === undefined ? undefined : this.#guest(id).port
    const { tcp, udp, ping } = this.#protocols
    const flows: EngineFlow[] = []
    for (const source of [tcp, udp, ping])
      for (const report of source.reports())
        if (only === undefined || report.port === only) flows.push(engineFlow(report, this.loop.nowMs))
    return flows
  }

  /** Of PortReader: a frame is in `frame`. */
  handle(port: GuestPort, lengthBytes: number): void {
    try {
      this.#protocols.dispatcher.frame(port, this.frame, lengthBytes)
    } catch (error) {
      // A defect of ours: this frame is lost, and nothing else.
      port.drop('internal')
      this.reportDefect(error)
    }
  }

  hasRoom(port: GuestPort): void {
    this.#protocols.tcp.portWritable(port)
  }

  lost(port: GuestPort, reason: string): void {
    this.removeGuest(port.id)
    this.#options.services.deviceLost(port.id, reason)
  }

  /** Logs what should not have been thrown, at most once a second. */
  reportDefect(error: unknown): void {
    if (!this.#defectLog.take(this.loop.nowMs)) return
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#options.services.log(`A defect of the network engine cost a frame: ${text}`)
  }

  /** Resets all connections and lets all guests and published ports go. */
  [Symbol.dispose](): void {
    this.#forwards[Symbol.dispose]()
    this.#protocols.resetAll([...this.#guests.values()].map(({ port }) => port))
    for (const id of this.guests) this.removeGuest(id)
    this.#protocols[Symbol.dispose]()
  }

  #guest(id: string): Guest {
    const guest = this.#guests.get(id)
    if (guest !== undefined) return guest
    throw new NetError(
      'net.no-guest',
      `Cannot find the network of guest "${id}": the engine does not carry it`,
    )
  }

  #policyOf(message: GuestMessage): ReturnType<typeof compilePolicy> {
    return compilePolicy(message.policy, this.#hostAddresses, this.#options.settings)
  }
}

function peerPolicyOf(message: GuestMessage): ReturnType<typeof compilePeerPolicy> | undefined {
  return message.policy.length === 0 ? undefined : compilePeerPolicy(message.policy)
}
