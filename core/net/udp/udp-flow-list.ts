// The UDP flows of one guest, in the order of their last use: what goes first when there are too many.
import { TokenBucket } from '../flow/rate-limit.ts'
import type { GuestPort } from '../guest-port.ts'
import type { UdpFlow } from './udp-flow.ts'

export class UdpFlowList {
  readonly port: GuestPort
  readonly newFlows: TokenBucket
  readonly queries: TokenBucket
  count = 0
  newest: UdpFlow | undefined
  oldest: UdpFlow | undefined

  constructor(port: GuestPort, newFlowsPerSecond: number, queriesPerSecond: number) {
    this.port = port
    this.newFlows = new TokenBucket(newFlowsPerSecond)
    this.queries = new TokenBucket(queriesPerSecond)
  }

  add(flow: UdpFlow): void {
    this.count++
    this.#link(flow)
  }

  remove(flow: UdpFlow): void {
    this.count--
    this.#unlink(flow)
  }

  /** The flow was used just now. */
  touch(flow: UdpFlow): void {
    if (this.newest === flow) return
    this.#unlink(flow)
    this.#link(flow)
  }

  #link(flow: UdpFlow): void {
    flow.newer = undefined
    flow.older = this.newest
    if (this.newest === undefined) this.oldest = flow
    else this.newest.newer = flow
    this.newest = flow
  }

  #unlink(flow: UdpFlow): void {
    if (flow.newer === undefined) this.newest = flow.older
    else flow.newer.older = flow.older
    if (flow.older === undefined) this.oldest = flow.newer
    else flow.older.newer = flow.newer
    flow.newer = undefined
    flow.older = undefined
  }
}
