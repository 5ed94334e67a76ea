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
  readonly port: GuestPort
  readonly fd: number
  readonly guestPort: number
  token = 0
  isClosed = false
  isDue = false
  readonly #owner: UdpForwardOwner

  constructor(owner: UdpForwardOwner, index: number, port: GuestPort, fd: number, guestPort: number) {
    this.#owner = owner
    this.index = index
    this.port = port
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
