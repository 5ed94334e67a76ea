// Initial sequence numbers that nobody can guess and that grow with time, so that a new connection's numbers lie beyond
// those of an old one on the same ports: ISN = M + F(4-tuple, secret), M of 4 microseconds a step (RFC 6528 §3).
import { FlowHash } from '../flow/flow-hash.ts'
import type { TableFlow } from '../flow/table-flow.ts'

const STEPS_PER_MS = 250

export class InitialSequence {
  readonly #hash: FlowHash

  /** Each has its own random secret: an engine that was started again does not repeat the numbers of the one before. */
  constructor(hash = new FlowHash()) {
    this.#hash = hash
  }

  of(flow: TableFlow, nowMs: number): number {
    const secret = this.#hash.of(
      flow.guestIndex,
      flow.remote0,
      flow.remote1,
      flow.remote2,
      flow.remote3,
      flow.guestPort,
      flow.remotePort,
    )
    return (Math.floor(nowMs * STEPS_PER_MS) + secret) | 0
  }
}
