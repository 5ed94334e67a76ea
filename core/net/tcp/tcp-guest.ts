// What the TCP of one guest shares: its flows, those that are half open, those that wait for their turn to send to it, and
// how fast it opens new ones.
import { TokenBucket } from '../flow/rate-limit.ts'
import type { GuestPort } from '../guest-port.ts'
import type { PacketContext, TurnTask } from '../packet/packet-context.ts'
import type { SlotHolder } from './slot-pool.ts'
import type { TcpFlow } from './tcp-flow.ts'

/** Who gives those that wait their turns: the stack. */
export interface TcpGuestOwner {
  serve(guest: TcpGuest): void
}

export class TcpGuest implements SlotHolder, TurnTask {
  readonly port: GuestPort
  readonly newFlows: TokenBucket
  /** All but those in TIME-WAIT. */
  readonly flows = new Set<TcpFlow>()
  /** Those not yet established, the oldest first. */
  readonly halfOpen = new Set<TcpFlow>()
  /** The oldest first. */
  readonly timeWait = new Set<TcpFlow>()
  /** Charged for slots of the send stores and of bytes that wait for sockets. */
  heldBytes = 0
  /** Charged for slots of segments beyond gaps. */
  readonly outOfOrder: SlotHolder = { heldBytes: 0 }
  #waitingHead: TcpFlow | undefined = undefined
  #waitingTail: TcpFlow | undefined = undefined
  waitingCount = 0
  isDue = false
  readonly #owner: TcpGuestOwner
  readonly #context: PacketContext

  constructor(owner: TcpGuestOwner, context: PacketContext, port: GuestPort, newFlowsPerSecond: number) {
    this.#owner = owner
    this.#context = context
    this.port = port
    this.newFlows = new TokenBucket(newFlowsPerSecond)
  }

  /** Puts a flow at the end of those that have something to send and may not now, unless it waits already. */
  wait(flow: TcpFlow): void {
    if (flow.isWaiting) return
    flow.isWaiting = true
    flow.nextWaiting = undefined
    if (this.#waitingTail === undefined) this.#waitingHead = flow
    else this.#waitingTail.nextWaiting = flow
    this.#waitingTail = flow
    this.waitingCount++
  }

  /**
   * Some of the budget is free again, or a flow is gone that may have stood in the way of others: who waits is served at
   * the end of this turn. Careful: a flow that waits has nothing in flight, so without this no event of its own would come.
   */
  turnOver(): void {
    if (this.waitingCount > 0) this.#context.due(this)
  }

  atEndOfTurn(): void {
    this.#owner.serve(this)
  }

  /** The flow that has waited longest, which then waits no more. */
  nextWaiting(): TcpFlow | undefined {
    const flow = this.#waitingHead
    if (flow === undefined) return undefined
    this.#waitingHead = flow.nextWaiting
    if (this.#waitingHead === undefined) this.#waitingTail = undefined
    flow.nextWaiting = undefined
    flow.isWaiting = false
    this.waitingCount--
    return flow
  }
}
