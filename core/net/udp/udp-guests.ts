// How many UDP flows the guests have, and who makes room when there are too many: a guest's own least used flow beyond its
// limit, that of the guest with the most beyond the engine's.
import type { GuestPort } from '../guest-port.ts'
import type { NetworkLimits } from '../settings.ts'
import type { UdpFlow } from './udp-flow.ts'
import { UdpFlowList } from './udp-flow-list.ts'

export type UdpGuestLimits = Pick<
  NetworkLimits,
  'udpFlows' | 'allUdpFlows' | 'newFlowsPerSecond' | 'dnsPerSecond'
>

export class UdpGuests {
  readonly #limits: UdpGuestLimits
  readonly #close: (flow: UdpFlow) => void
  readonly #lists = new Map<GuestPort, UdpFlowList>()
  #count = 0

  /** `close` ends a flow, and tells `remove()`. */
  constructor(limits: UdpGuestLimits, close: (flow: UdpFlow) => void) {
    this.#limits = limits
    this.#close = close
  }

  countOf(port: GuestPort): number {
    return this.#lists.get(port)?.count ?? 0
  }

  listOf(port: GuestPort): UdpFlowList {
    let list = this.#lists.get(port)
    if (list === undefined) {
      list = new UdpFlowList(port, this.#limits.newFlowsPerSecond, this.#limits.dnsPerSecond)
      this.#lists.set(port, list)
    }
    return list
  }

  add(flow: UdpFlow): void {
    this.listOf(flow.port).add(flow)
    this.#count++
  }

  remove(flow: UdpFlow): void {
    this.#lists.get(flow.port)?.remove(flow)
    this.#count--
  }

  touch(flow: UdpFlow): void {
    this.#lists.get(flow.port)?.touch(flow)
  }

  /** Whether the guest may have one more flow now; makes the room for it. */
  makeRoom(port: GuestPort, nowMs: number): boolean {
    const list = this.listOf(port)
    if (!list.newFlows.take(nowMs)) {
      port.drop('flow-rate')
      return false
    }
    if (list.count >= this.#limits.udpFlows) this.#evict(list)
    if (this.#count >= this.#limits.allUdpFlows) this.#evict(this.#greediest(list))
    return true
  }

  /** Closes the guest's least used flow, for its descriptor. False where it has none. */
  giveUpOldest(port: GuestPort): boolean {
    const oldest = this.#lists.get(port)?.oldest
    if (oldest === undefined) return false
    this.#close(oldest)
    return true
  }

  portGone(port: GuestPort): void {
    while (this.giveUpOldest(port)) {
      // One after the other.
    }
    this.#lists.delete(port)
  }

  #greediest(first: UdpFlowList): UdpFlowList {
    let most = first
    for (const list of this.#lists.values()) if (list.count > most.count) most = list
    return most
  }

  #evict(list: UdpFlowList): void {
    if (list.oldest === undefined) return
    list.port.drop('flow-limit')
    this.#close(list.oldest)
  }
}
