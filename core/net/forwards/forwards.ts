// Published ports: sockets of the host's that lead into guests. A forward is about a guest and not about its wire: it stays
// when the guest's device goes and comes, and leads nowhere in between. The sockets were bound by the core host.
import { closeDescriptor, resetSocket } from '../../sys/socket.ts'
import type { SocketAddress } from '../../sys/socket-address.ts'
import type { ForwardMessage } from '../engine/messages.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { UdpForward } from '../udp/udp-forward.ts'
import { TcpForward } from './tcp-forward.ts'
import { makeVisible } from './visible-client.ts'

export type Forward = Omit<ForwardMessage, 'type'>

/** What takes connections into a guest (TcpStack.openInbound): the descriptor is its own from then on. */
export interface InboundStreams {
  openInbound(
    port: GuestPort,
    fd: number,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    remotePort: number,
    guestPort: number,
  ): void
}

/** What takes datagrams into a guest (UdpFlows). */
export interface InboundDatagrams {
  addForward(portOf: () => GuestPort | undefined, fd: number, guestPort: number): UdpForward
  removeForward(forward: UdpForward): void
}

export interface ForwardsOptions {
  readonly gateway: GatewayIdentity
  readonly tcp: InboundStreams
  readonly udp: InboundDatagrams
  /** The guest's place, while it has one. */
  readonly portOf: (guest: string) => GuestPort | undefined
}

export class Forwards implements Disposable {
  readonly #context: PacketContext
  readonly #options: ForwardsOptions
  /** How to end each. */
  readonly #ends = new Map<string, () => void>()

  constructor(context: PacketContext, options: ForwardsOptions) {
    this.#context = context
    this.#options = options
  }

  get size(): number {
    return this.#ends.size
  }

  /**
   * Opens a forward, in place of one from before. `fd` is its bound socket (TCP: listening), which is ours from now on.
   * Throws NetError, and closes `fd` then.
   */
  add(forward: Forward, fd: number): void {
    this.remove(forward)
    try {
      this.#ends.set(
        keyOf(forward),
        forward.protocol === 'tcp' ? this.#tcp(forward, fd) : this.#udp(forward, fd),
      )
    } catch (error) {
      closeDescriptor(fd)
      throw error
    }
  }

  /** Ends it. Connections that are open go on; flows of UDP end with their socket. Does nothing where there is none. */
  remove(forward: Forward): void {
    const key = keyOf(forward)
    this.#ends.get(key)?.()
    this.#ends.delete(key)
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends.values()) end()
    this.#ends.clear()
  }

  #tcp({ guest, guestPort }: Forward, fd: number): () => void {
    const listener = new TcpForward(this.#context, fd, (connection, client) =>
      this.#take(guest, guestPort, connection, client),
    )
    return () => listener.close()
  }

  #udp({ guest, guestPort }: Forward, fd: number): () => void {
    const { udp, portOf } = this.#options
    const forward = udp.addForward(() => portOf(guest), fd, guestPort)
    return () => udp.removeForward(forward)
  }

  #take(guest: string, guestPort: number, fd: number, client: SocketAddress): void {
    const port = this.#options.portOf(guest)
    if (port === undefined || port.isGone) {
      resetSocket(fd)
      return
    }
    makeVisible(client, this.#options.gateway)
    const { word0, word1, word2, word3 } = client
    this.#options.tcp.openInbound(port, fd, word0, word1, word2, word3, client.port, guestPort)
  }
}

/** There is one socket of a protocol at an address and port. */
function keyOf({ protocol, bind, hostPort }: Forward): string {
  return `${protocol} ${bind} ${hostPort}`
}
