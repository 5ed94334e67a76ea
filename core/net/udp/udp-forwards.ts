// Published UDP ports. All clients of one share its socket, so who a datagram is from says which flow it belongs to, and
// answers leave from that socket, from the address the client had sent to.
// The guest sees its clients' own addresses. Only what it could not answer to (the host's loopback) it sees as the gateway.
import { randomInt } from 'node:crypto'
import { closeDescriptor, setSocketOption } from '../../sys/socket.ts'
import { isMappedWords, type SocketAddress } from '../../sys/socket-address.ts'
import { FlowTable } from '../flow/flow-table.ts'
import { makeVisible } from '../forwards/visible-client.ts'
import type { GatewayIdentity } from '../gateway/gateway-identity.ts'
import type { GuestPort } from '../guest-port.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import { UdpClient, UdpFlow, type UdpFlowOwner } from './udp-flow.ts'
import { UdpForward, type UdpForwardOwner } from './udp-forward.ts'
import type { UdpInput } from './udp-input.ts'

const IPPROTO_IP = 0
const IP_PKTINFO = 8
const IPPROTO_IPV6 = 41
const IPV6_RECVPKTINFO = 49
/** The ten leading bits of fe80::/10. */
const LINK_LOCAL_BITS = 0xfe80 >>> 6
/** Where ports are chosen when the client's own is taken (RFC 6335 §6). */
const FIRST_DYNAMIC_PORT = 49_152
const DYNAMIC_PORTS = 16_384
const PORT_TRIES = 64

/** What the flows' table does for inbound ones. */
export interface UdpFlowKeeper {
  isTaken(
    port: GuestPort,
    remote0: number,
    remote1: number,
    remote2: number,
    remote3: number,
    guestPort: number,
    remotePort: number,
  ): boolean
  /** Makes room for a flow of this guest. False where its limits forbid one. */
  mayOpen(port: GuestPort): boolean
  adopt(flow: UdpFlow): void
  used(flow: UdpFlow): void
  close(flow: UdpFlow): void
  readonly owner: UdpFlowOwner
}

export class UdpForwards implements UdpForwardOwner {
  readonly #context: PacketContext
  readonly #gateway: GatewayIdentity
  readonly #input: UdpInput
  readonly #keeper: UdpFlowKeeper
  readonly #clients = new FlowTable<UdpClient>()
  readonly #flowOf: (forward: UdpForward, client: SocketAddress, local: SocketAddress) => UdpFlow | undefined
  #nextIndex = 0

  constructor(context: PacketContext, gateway: GatewayIdentity, input: UdpInput, keeper: UdpFlowKeeper) {
    this.#context = context
    this.#gateway = gateway
    this.#input = input
    this.#keeper = keeper
    this.#flowOf = (forward, client, local) => this.#find(forward, client, local)
  }

  add(portOf: () => GuestPort | undefined, fd: number, guestPort: number): UdpForward {
    const forward = new UdpForward(this, this.#nextIndex++, portOf, fd, guestPort)
    // One of the two fails, as the socket is of the other family.
    setSocketOption(fd, IPPROTO_IP, IP_PKTINFO, 1)
    setSocketOption(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    forward.token = this.#context.watcher.watch(fd, forward, false)
    return forward
  }

  remove(forward: UdpForward): void {
    if (forward.isClosed) return
    forward.isClosed = true
    const ours = [...this.#clients.values()].filter((client) => client.forward === forward)
    for (const { flow } of ours) if (flow !== undefined) this.#keeper.close(flow)
    this.#context.watcher.unwatch(forward.fd, forward.token)
    closeDescriptor(forward.fd)
  }

  forget(client: UdpClient): void {
    this.#clients.remove(client)
  }

  forwardReadable(forward: UdpForward): void {
    if (forward.isClosed) return
    if (this.#input.receiveForward(forward, this.#flowOf) === 'more') this.#context.due(forward)
  }

  #find(forward: UdpForward, client: SocketAddress, local: SocketAddress): UdpFlow | undefined {
    const { word0, word1, word2, word3, port } = client
    const known = this.#clients.find(forward.index, word0, word1, word2, word3, forward.guestPort, port)
    if (known?.flow !== undefined) {
      this.#keeper.used(known.flow)
      return known.flow
    }
    const guest = forward.portOf()
    // Link-local clients cannot be answered without the number of their interface.
    if (guest === undefined || port === 0 || word0 >>> 22 === LINK_LOCAL_BITS) return undefined
    if (!this.#keeper.mayOpen(guest)) return undefined
    const entry = new UdpClient(forward, word0, word1, word2, word3, port)
    entry.local0 = local.word0
    entry.local1 = local.word1
    entry.local2 = local.word2
    entry.local3 = local.word3
    makeVisible(client, this.#gateway)
    return this.#open(guest, forward, entry, client)
  }

  /** `seen` is the client as the guest sees it. */
  #open(port: GuestPort, forward: UdpForward, client: UdpClient, seen: SocketAddress): UdpFlow | undefined {
    const { word0, word1, word2, word3 } = seen
    const { guestPort } = forward
    let remotePort = seen.port
    for (
      let tries = 0;
      this.#keeper.isTaken(port, word0, word1, word2, word3, guestPort, remotePort);
      tries++
    ) {
      if (tries === PORT_TRIES) {
        port.drop('flow-limit')
        return undefined
      }
      remotePort = FIRST_DYNAMIC_PORT + randomInt(DYNAMIC_PORTS)
    }
    const flow = new UdpFlow(
      this.#keeper.owner,
      port,
      word0,
      word1,
      word2,
      word3,
      guestPort,
      remotePort,
      !isMappedWords(word0, word1, word2),
      forward.fd,
      this.#context.nowMs,
      client,
    )
    client.flow = flow
    this.#clients.insert(client)
    this.#keeper.adopt(flow)
    return flow
  }
}
