// A small network for one test: the host, in whose namespace the engine keeps its sockets, and the world behind the host's
// one wire, in which the servers are. The host's own addresses are closed to guests, so no server can be on them.
// Nothing of the machine's own network is touched.
//
//   guest ── engine ── host 10.99.0.2 ──wire── 10.99.0.1 world      everything else that the host sends out is lost there
import { removeAbandoned } from './abandoned.ts'
import { Namespace } from './namespace.ts'
import type { Program } from './program.ts'

export const WORLD = { ipv4: '10.99.0.1', ipv6: 'fd00:99::1' } as const
export const HOST = { ipv4: '10.99.0.2', ipv6: 'fd00:99::2' } as const
/** The world gets packets to it and says nothing. */
export const BLACK_HOLE = '10.98.0.1'
/** The host has no way to it: EHOSTUNREACH. */
export const UNREACHABLE = '10.97.0.1'

/** Both families' names, for tests of each. */
export const FAMILIES = ['ipv4', 'ipv6'] as const
export type Family = (typeof FAMILIES)[number]

/** Enough ports for tens of thousands of connections to one server, and none of them held back for a minute. */
const MANY_CONNECTIONS = ['net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1']

export class NetworkLab implements AsyncDisposable {
  readonly host: Namespace
  readonly world: Namespace
  readonly #resources: AsyncDisposableStack
  #vifs: Promise<Namespace> | undefined

  private constructor(host: Namespace, world: Namespace, resources: AsyncDisposableStack) {
    this.host = host
    this.world = world
    this.#resources = resources
  }

  static async create(): Promise<NetworkLab> {
    await removeAbandoned()
    await using resources = new AsyncDisposableStack()
    const host = resources.use(await Namespace.create('host'))
    const world = resources.use(await Namespace.create('world'))
    await host.ip('link', 'add', 'wire', 'type', 'veth', 'peer', 'name', 'wire', 'netns', world.name)
    for (const [namespace, { ipv4, ipv6 }] of [
      [host, HOST],
      [world, WORLD],
    ] as const) {
      await namespace.ip('address', 'add', `${ipv4}/24`, 'dev', 'wire')
      await namespace.ip('address', 'add', `${ipv6}/64`, 'dev', 'wire', 'nodad')
      await namespace.ip('link', 'set', 'wire', 'up')
      await namespace.sysctl(...MANY_CONNECTIONS)
    }
    await host.ip('route', 'add', 'default', 'via', WORLD.ipv4)
    await host.ip('route', 'add', 'default', 'via', WORLD.ipv6)
    await host.ip('route', 'add', 'unreachable', `${UNREACHABLE}/32`)
    return new NetworkLab(host, world, resources.move())
  }

  /** Another namespace, beside the host and the world. */
  async namespace(part: string): Promise<Namespace> {
    const namespace = this.use(await Namespace.create(part))
    await namespace.sysctl(...MANY_CONNECTIONS)
    return namespace
  }

  /** Where the engine's ends of vifs are: a namespace whose kernel has no address and answers nothing. */
  vifs(): Promise<Namespace> {
    this.#vifs ??= this.#makeVifs()
    return this.#vifs
  }

  /** Ends `resource` with the lab, before what was there earlier. */
  use<Resource extends AsyncDisposable>(resource: Resource): Resource {
    return this.#resources.use(resource)
  }

  /** Starts a server in the world (or elsewhere), until the lab's end. */
  serve(namespace: Namespace, ...command: readonly string[]): Program {
    return this.use(namespace.start(...command))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync()
  }

  async #makeVifs(): Promise<Namespace> {
    const vifs = await this.namespace('vifs')
    await vifs.sysctl('net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
    return vifs
  }
}
