// A published UDP port: the host's bound socket, and the guest's port that its datagrams go to.
import type { GuestPort } from '../guest-port.ts'
import type { SocketHandler, TurnTask } from '../packet/packet-context.ts'

export interface UdpForwardOwner {
  /** Datagrams wait. */
  forwardReadable(forward: UdpForward): void
}

export class UdpForward implements SocketHandler, TurnTask {
  /** Not used again while the engine runs: part of the key of its clients. */
  readonly index: number
  /** The guest's place, while it has one. */
  readonly portOf: () => GuestPort | undefined
  readonly fd: number
  readonly guestPort: number
  token = 0
  isClosed = false
  isDue = false
  readonly #owner: UdpForwardOwner

  constructor(
    owner: UdpForwardOwner,
    index: number,
    portOf: () => GuestPort | undefined,
    fd: number,
    guestPort: number,
  ) {
    this.#owner = owner
    this.index = index
    this.portOf = portOf
    this.fd = fd
    this.guestPort = guestPort
  }

  onSocketEvents(): void {
    this.#owner.forwardReadable(this)
  }

  atEndOfTurn(): void {
    this.#owner.forwardReadable(this)
  }
}
