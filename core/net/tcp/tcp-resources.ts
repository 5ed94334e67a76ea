// What all flows of the engine use: the loop, the sockets, the limits, memory, and the table of flows.
import { PinnedBuffer } from '../../sys/pinned-buffer.ts'
import type { FlowJournal } from '../flow/flow-journal.ts'
import { FlowTable } from '../flow/flow-table.ts'
import type { IcmpErrors } from '../icmp/icmp-errors.ts'
import type { PacketContext } from '../packet/packet-context.ts'
import type { NetworkLimits } from '../settings.ts'
import { InitialSequence } from './initial-sequence.ts'
import { SlotPool } from './slot-pool.ts'
import type { StreamSockets } from './stream-sockets.ts'
import type { TcpFlow } from './tcp-flow.ts'
import { MAX_UNSCALED_WINDOW, MAX_WINDOW_SHIFT } from './tcp-header.ts'
import { SynOptions } from './tcp-options.ts'

export class TcpResources {
  readonly context: PacketContext
  readonly sockets: StreamSockets
  readonly limits: NetworkLimits
  readonly gatewayMac: Uint8Array
  readonly icmp: IcmpErrors
  readonly journal: FlowJournal | undefined
  readonly table = new FlowTable<TcpFlow>()
  readonly pool: SlotPool
  readonly outOfOrderPool: SlotPool
  readonly initialSequence = new InitialSequence()
  /** The smallest shift by which the window that we offer fits its field. */
  readonly windowShift: number
  readonly synOptions = new SynOptions()
  readonly sackEdges = new Int32Array(8)
  readonly nothing = new PinnedBuffer(0)

  constructor(
    context: PacketContext,
    sockets: StreamSockets,
    limits: NetworkLimits,
    gatewayMac: Uint8Array,
    icmp: IcmpErrors,
    journal: FlowJournal | undefined,
  ) {
    this.context = context
    this.sockets = sockets
    this.limits = limits
    this.gatewayMac = gatewayMac
    this.icmp = icmp
    this.journal = journal
    this.pool = new SlotPool(limits.poolBytes, Math.ceil(limits.poolBytes / 4))
    this.outOfOrderPool = new SlotPool(limits.allOutOfOrderBytes, limits.outOfOrderBytes)
    let shift = 0
    while (shift < MAX_WINDOW_SHIFT && MAX_UNSCALED_WINDOW * 2 ** shift < limits.windowBytes) shift++
    this.windowShift = shift
  }
}
