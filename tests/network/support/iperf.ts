// iperf3 and what it says: for tests of function and for the bench.
import type { Namespace } from './namespace.ts'
import type { NetworkLab } from './network-lab.ts'
import type { Program } from './program.ts'

export interface Received {
  readonly bytes: number
  readonly bitsPerSecond: number
  /** What passed in each interval (of a second, or `-i`), in either direction where there are two: the lesser. */
  readonly intervals: readonly number[]
}

interface Sum {
  readonly bytes: number
  readonly bits_per_second: number
}

interface Report {
  readonly end: { readonly sum_received?: Sum; readonly sum?: Sum }
  readonly intervals: readonly { readonly sum: Sum; readonly sum_bidir_reverse?: Sum }[]
}

/** A server, until the lab's end, and one client after the other. */
export class Iperf {
  readonly #server: Program

  constructor(lab: NetworkLab, server: Namespace) {
    this.#server = lab.serve(server, 'iperf3', '--server', '--forceflush')
  }

  /** Runs a client to its end: what arrived, at whichever side it was to arrive. Throws where it fails. */
  async run(client: Namespace, address: string, ...options: readonly string[]): Promise<Received> {
    // It says so at first, and again when it has done with a client.
    await this.#server.lineWith('Server listening')
    const json = await client.run('iperf3', '--client', address, '--json', ...options)
    const { end, intervals }: Report = JSON.parse(json)
    // UDP has one sum for both sides, TCP one for each.
    const sum = end.sum_received ?? end.sum
    if (sum === undefined) throw new Error(`iperf3 did not say what it received: ${json}`)
    return {
      bytes: sum.bytes,
      bitsPerSecond: sum.bits_per_second,
      intervals: intervals.map((one) =>
        Math.min(one.sum.bytes, one.sum_bidir_reverse?.bytes ?? one.sum.bytes),
      ),
    }
  }
}
