// The guests' network through the engine: what each guest has, and what the engine has to know of it, said again to every
// engine that comes.
import { setTimeout as delay } from 'node:timers/promises'
import type {
  GuestNetworkDetails,
  NetworkEngineState,
  NetworkFlow,
  NetworkList,
  NetworkSpec,
  NetworkStats,
  ParsedParamsOf,
  PublishedPort,
} from '../../api/methods.ts'
import type { EngineReady, NetEngineClient } from '../../net/engine/engine-client.ts'
import { NetError } from '../../net/errors.ts'
import { findConflicts } from '../../net/policy/subnet-conflict.ts'
import type { NetworkSettings } from '../../net/settings.ts'
import { type HostRoute, readRoutes } from '../../sys/route-table.ts'
import type { StreamSession } from '../broker/stream-session.ts'
import type { GuestNetworkRecord, GuestRecord } from '../guest-record.ts'
import { AddressBook } from './addresses.ts'
import { EngineSupervisor } from './engine-supervisor.ts'
import type { GuestNetwork, Wire } from './guest-network.ts'
import { type AttachedGuest, guestMessage, openWire } from './guest-wire.ts'
import { joinedSocket } from './joined-socket.ts'
import { checkPorts, checkSpec } from './network-spec.ts'
import {
  type Forward,
  isMeant,
  isSameForward,
  type OpenForward,
  PublishedPorts,
  withoutPorts,
} from './published-ports.ts'
import { captureSession, portSession } from './socket-sessions.ts'

export interface EngineNetworkOptions {
  readonly settings: NetworkSettings
  readonly version: string
  /** Where the engine listens (`/run/bulkhead/net.sock`). */
  readonly socketPath: string
  readonly namespacePath: string
  /** The engine's user; undefined leaves it ours. */
  readonly uid?: number | undefined
  readonly gid?: number | undefined
  readonly execPath?: string | undefined
  readonly log: (message: string) => void
  /** The engine has ended, or is there again. */
  readonly onEngine: (state: NetworkEngineState) => void
  /** What is open of a guest's ports has changed without being asked for. */
  readonly onPortsLost: (id: string) => void
}

/** A vif that was lost while it is there is taken up again after this. */
const rewireAfterMs = 500

export class EngineNetwork implements GuestNetwork, AsyncDisposable {
  readonly settings: NetworkSettings
  readonly namespacePath: string
  readonly #options: EngineNetworkOptions
  readonly #addresses: AddressBook
  readonly #ports = new PublishedPorts()
  readonly #known = new Map<string, GuestRecord>()
  readonly #attached = new Map<string, AttachedGuest>()
  readonly #supervisor: EngineSupervisor
  readonly #closing = new AbortController()
  /** What the engine said it has, when it was met. */
  #held: EngineReady | undefined
  /** Until then the guests of before are still being found, and the engine must not let go of them. */
  #isSettled = false

  /** Resolves when an engine is there, or could not be started: then it is tried again and again. */
  static async open(options: EngineNetworkOptions): Promise<EngineNetwork> {
    const network = new EngineNetwork(options)
    for (const warning of network.warnings()) options.log(warning)
    await network.#supervisor.open()
    return network
  }

  private constructor(options: EngineNetworkOptions) {
    this.settings = options.settings
    this.namespacePath = options.namespacePath
    this.#options = options
    this.#addresses = new AddressBook(options.settings)
    this.#supervisor = new EngineSupervisor({
      ...options,
      onConnected: (client, ready) => this.#tellAll(client, ready),
      onDeviceLost: (id, reason) => this.#deviceLost(id, reason),
      onState: options.onEngine,
    })
  }

  /** Lets go of the engine, which goes on with the guests that it has. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#supervisor[Symbol.asyncDispose]()
    for (const id of this.#attached.keys()) this.#ports.close(id)
  }

  get engine(): NetworkEngineState {
    return this.#supervisor.state
  }

  /** The process of the engine that runs. */
  get enginePid(): number | undefined {
    return this.#supervisor.client?.pid
  }

  /** Sentences about networks of the host's that guests cannot reach, since their own lie over them. */
  warnings(): string[] {
    return findConflicts(this.#routes(), this.settings).map(
      ({ subnet, route }) =>
        `The guests' subnet ${subnet} lies over the network ${route.destination} of this host, which guests will not reach. Set other subnets in the settings of the network.`,
    )
  }

  #routes(): readonly HostRoute[] {
    try {
      return readRoutes()
    } catch (error) {
      // Guests run without this being known.
      this.#options.log(error instanceof Error ? error.message : String(error))
      return []
    }
  }

  /** All guests of before are attached: what else the engine has is of guests that are gone. */
  settled(): void {
    this.#isSettled = true
    this.#supervisor.client?.synced()
  }

  reserve(id: string, spec: NetworkSpec): GuestNetworkRecord | undefined {
    checkSpec(spec)
    if (spec.kind === 'none') return undefined
    return { ...this.#addresses.reserve(id), ports: spec.ports, open: [] }
  }

  know(record: GuestRecord): void {
    this.#known.set(record.id, record)
    const { network } = record
    if (network !== undefined) this.#addresses.take(record.id, network)
  }

  forget(id: string): void {
    this.#known.delete(id)
    this.#addresses.release(id)
  }

  async attach(record: GuestRecord, wire: Wire): Promise<void> {
    const { id, name, network } = record
    if (network === undefined) return
    if (!this.#addresses.fits(network))
      throw new NetError(
        'net.bad-settings',
        `Cannot give guest "${name}" its address ${network.ipv4}: the subnets have been changed`,
        { hint: 'Make the guest anew, or set the subnets back.' },
      )
    const isAdopted = wire.isAdopted === true
    if (isAdopted) this.#adoptPorts(record, network)
    else this.#ports.open(record, network.ports)
    try {
      const guest: AttachedGuest = { record, network, wire }
      const client = this.#supervisor.client
      if (client !== undefined) this.#wire(client, guest, isAdopted ? this.#held : undefined)
      else openWire(guest, this.namespacePath)[Symbol.dispose]() // The next engine gets one; whether it can is seen now.
      this.#attached.set(id, guest)
      network.open = this.#ports.of(id)
    } catch (error) {
      this.#ports.close(id)
      network.open = []
      throw error
    }
  }

  async detach(record: GuestRecord): Promise<void> {
    this.#ports.close(record.id)
    if (record.network !== undefined) record.network.open = []
    if (!this.#attached.delete(record.id)) return
    this.#supervisor.client?.guestGone(record.id)
    await this.#settle()
  }

  details({ spec, network }: GuestRecord): GuestNetworkDetails {
    const { guests, policy } = spec.network
    if (network === undefined) return { kind: 'none', guests, ports: [], policy }
    const { mac, ipv4, ipv6, open } = network
    return { kind: 'nat', mac, ipv4, ipv6, guests, ports: [...open], policy }
  }

  async publish(record: GuestRecord, ports: readonly PublishedPort[]): Promise<PublishedPort[]> {
    const { network } = this.#attachedOf(record)
    checkPorts(ports)
    const before = this.#ports.of(record.id)
    const opened = this.#ports.open(record, ports)
    const client = this.#supervisor.client
    if (client !== undefined) for (const open of opened) sendForward(client, open)
    network.ports = [...network.ports, ...ports]
    network.open = this.#ports.of(record.id)
    return network.open.slice(before.length)
  }

  async unpublish(record: GuestRecord, ports: readonly PublishedPort[]): Promise<void> {
    const { network } = this.#attachedOf(record)
    const missing = ports.find((port) => !network.open.some((open) => isMeant(port, open)))
    if (missing !== undefined)
      throw new NetError(
        'net.port-taken',
        `Cannot take back port ${missing.hostPort} (${missing.protocol.toUpperCase()}) of guest "${record.name}": it is not published`,
        { hint: `"bulkhead port ${record.name}" shows those that are.` },
      )
    const going = network.open.filter((open) => ports.some((port) => isMeant(port, open)))
    const closed = this.#ports.close(record.id, going)
    for (const forward of closed) this.#supervisor.client?.forwardGone(forward)
    network.ports = withoutPorts(network.ports, going)
    network.open = this.#ports.of(record.id)
    await this.#settle()
  }

  list(): NetworkList {
    const { gatewayMac, gatewayIpv4, gatewayIpv6, ipv4Subnet, ipv6Subnet, mtu } = this.settings
    return {
      gateway: { mac: gatewayMac, ipv4: gatewayIpv4, ipv6: gatewayIpv6 },
      subnets: { ipv4: ipv4Subnet, ipv6: ipv6Subnet },
      mtu,
      engine: this.engine,
      guests: [...this.#known.values()].map((record) => ({
        id: record.id,
        name: record.name,
        isRunning: record.domid !== undefined,
        ...this.details(record),
      })),
    }
  }

  async stats(record?: GuestRecord): Promise<NetworkStats> {
    const { guests, ...engine } = await this.#client().stats()
    return {
      guests: guests.flatMap((traffic) => {
        const name = this.#known.get(traffic.guest)?.name
        if (name === undefined || (record !== undefined && record.id !== traffic.guest)) return []
        return [{ ...traffic, name, drops: { ...traffic.drops } }]
      }),
      engine,
    }
  }

  async flows(record?: GuestRecord): Promise<NetworkFlow[]> {
    if (record !== undefined) this.#attachedOf(record)
    return (await this.#client().flows(record?.id)).flatMap((flow) => {
      const name = this.#known.get(flow.guest)?.name
      return name === undefined ? [] : [{ ...flow, name }]
    })
  }

  async capture(
    record: GuestRecord,
    options: Omit<ParsedParamsOf<'network.capture'>, 'guest'>,
  ): Promise<StreamSession> {
    this.#attachedOf(record)
    return captureSession(await joinedSocket((fd) => this.#client().capture(record.id, options, fd)))
  }

  async connect(record: GuestRecord, port: number): Promise<StreamSession> {
    this.#attachedOf(record)
    const fd = await joinedSocket((theirs) => this.#client().connectPort(record.id, port, theirs))
    return portSession({ fd, guestName: record.name, port })
  }

  /** Until the engine has let go of what it was told to; one that is gone has. */
  async #settle(): Promise<void> {
    await this.#supervisor.client?.settle().catch(() => undefined)
  }

  #client(): NetEngineClient {
    const { client, state } = this.#supervisor
    if (client !== undefined) return client
    const why = state.message === undefined ? '' : `: ${state.message}`
    throw new NetError('net.engine-died', `Cannot ask the network engine: it does not run${why}`, {
      hint: 'It is started again by itself.',
    })
  }

  #attachedOf(record: GuestRecord): AttachedGuest {
    const guest = this.#attached.get(record.id)
    if (guest !== undefined) return guest
    if (record.network === undefined)
      throw new NetError(
        'net.no-guest',
        `Guest "${record.name}" has no network: it was made with "--network none"`,
      )
    throw new NetError('net.no-guest', `Guest "${record.name}" is not on the network: it does not run`)
  }

  /** Every new engine, and every new connection, hears of everything. */
  #tellAll(client: NetEngineClient, ready: EngineReady): void {
    this.#held = ready
    for (const guest of this.#attached.values()) {
      const { record, network } = guest
      for (const { port, error } of this.#ports.recover(record.id, ready.forwards)) {
        this.#options.log(`Guest "${record.name}" loses port ${port.hostPort}: ${error.message}`)
        network.open = this.#ports.of(record.id)
        this.#options.onPortsLost(record.id)
      }
      try {
        this.#wire(client, guest, ready)
      } catch (error) {
        this.#options.log(
          `Guest "${record.name}" has no network: ${error instanceof Error ? error.message : String(error)}`,
        )
      }
    }
    if (this.#isSettled) client.synced()
  }

  /** Tells the engine of a guest and its ports; what `held` names it has already. */
  #wire(client: NetEngineClient, guest: AttachedGuest, held: EngineReady | undefined): void {
    const message = guestMessage(guest, this.settings)
    if (held?.guests.includes(message.id) === true) client.guest(message)
    else {
      using descriptor = openWire(guest, this.namespacePath)
      client.guest(message, descriptor.fd)
    }
    for (const open of this.#ports.forwardsOf(message.id)) sendForward(client, open, held?.forwards)
  }

  #adoptPorts(record: GuestRecord, network: GuestNetworkRecord): void {
    for (const port of network.open) {
      try {
        this.#ports.adopt(record, port, this.#held?.forwards ?? [])
      } catch (error) {
        if (!(error instanceof NetError)) throw error
        this.#options.log(`Guest "${record.name}" loses port ${port.hostPort}: ${error.message}`)
        this.#options.onPortsLost(record.id)
      }
    }
  }

  /** The domain ends mostly, and then the guest is detached soon. If its vif is still there, it goes on. */
  #deviceLost(id: string, reason: string): void {
    const guest = this.#attached.get(id)
    if (guest === undefined) return
    this.#options.log(`The engine lost the wire of guest "${guest.record.name}": ${reason}`)
    void delay(rewireAfterMs, undefined, { signal: this.#closing.signal })
      .then(() => {
        const client = this.#supervisor.client
        if (client !== undefined && this.#attached.get(id) === guest) this.#wire(client, guest, undefined)
      })
      .catch((error: unknown) => {
        if (!this.#closing.signal.aborted && this.#attached.get(id) === guest)
          this.#options.log(error instanceof Error ? error.message : String(error))
      })
  }
}

/** What is among `held` the engine has already. */
function sendForward(
  client: NetEngineClient,
  { forward, descriptor }: OpenForward,
  held: readonly Forward[] = [],
): void {
  const isHeld = held.some((each) => isSameForward(each, forward))
  client.forward(forward, isHeld ? undefined : descriptor?.fd)
}
