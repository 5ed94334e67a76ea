// What guests were asked by others, for guests whose own rules forbid them to ask: a policy is about who opens a flow, and an
// answer is none. Only such flows are kept, for as long as an answer may come.
import { FlowTable } from '../flow/flow-table.ts'
import type { TableFlow } from '../flow/table-flow.ts'
import type { GuestPort } from '../guest-port.ts'

/** RFC 4787 REQ-5: at least two minutes. */
const LIFETIME_MS = 180_000
const MAX_ANSWERS = 8_192

class AskedFlow implements TableFlow {
  /** Who may answer. */
  readonly guestIndex: number
  /** Whom: the guest that asked. */
  readonly remote0: number
  readonly remote1: number
  readonly remote2: number
  readonly remote3: number
  readonly guestPort: number
  readonly remotePort: number
  untilMs = 0

  constructor(answerer: GuestPort, asker: readonly number[], guestPort: number, remotePort: number) {
    this.guestIndex = answerer.index
    this.remote0 = asker[0] ?? 0
    this.remote1 = asker[1] ?? 0
    this.remote2 = asker[2] ?? 0
    this.remote3 = asker[3] ?? 0
    this.guestPort = guestPort
    this.remotePort = remotePort
  }
}

export class PeerAnswers {
  readonly #flows = new FlowTable<AskedFlow>()
  /** In the order of their last use: the first is the first to go. */
  readonly #order = new Set<AskedFlow>()

  /** `answerer` was sent something from `asker` (words as in address.ts). */
  asked(
    answerer: GuestPort,
    asker0: number,
    asker1: number,
    asker2: number,
    asker3: number,
    answererPort: number,
    askerPort: number,
    nowMs: number,
  ): void {
    let flow = this.#flows.find(answerer.index, asker0, asker1, asker2, asker3, answererPort, askerPort)
    if (flow === undefined) {
      this.#forget(nowMs)
      flow = new AskedFlow(answerer, [asker0, asker1, asker2, asker3], answererPort, askerPort)
      this.#flows.insert(flow)
    } else this.#order.delete(flow)
    flow.untilMs = nowMs + LIFETIME_MS
    this.#order.add(flow)
  }

  /** Whether `answerer` answers with this packet. */
  isAnswer(
    answerer: GuestPort,
    asker0: number,
    asker1: number,
    asker2: number,
    asker3: number,
    answererPort: number,
    askerPort: number,
    nowMs: number,
  ): boolean {
    const flow = this.#flows.find(answerer.index, asker0, asker1, asker2, asker3, answererPort, askerPort)
    return flow !== undefined && flow.untilMs > nowMs
  }

  get size(): number {
    return this.#order.size
  }

  #forget(nowMs: number): void {
    for (const flow of this.#order) {
      if (flow.untilMs > nowMs && this.#order.size < MAX_ANSWERS) return
      this.#order.delete(flow)
      this.#flows.remove(flow)
    }
  }
}
