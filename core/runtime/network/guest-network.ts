// The network as the guest runtime has it: addresses for new guests, a wire for each guest that runs, published ports,
// and what can be seen of the traffic.
import type {
  GuestNetworkDetails,
  NetworkFlow,
  NetworkList,
  NetworkSpec,
  NetworkStats,
  ParsedParamsOf,
  PublishedPort,
} from '../../api/methods.ts'
import type { NetworkSettings } from '../../net/settings.ts'
import type { StreamSession } from '../broker/stream-session.ts'
import type { GuestNetworkRecord, GuestRecord } from '../guest-record.ts'

export interface Wire {
  /** Name of the guest's vif in the namespace of the vifs (`vif5.0`), which is up. */
  readonly vif: string
  /** The guest ran before this core host did: its ports are those of its record, and one that is lost is only logged. */
  readonly isAdopted?: boolean
}

export interface GuestNetwork {
  readonly settings: NetworkSettings
  /** The network namespace that all vifs are moved to, as a file (`/run/bulkhead/netns`). */
  readonly namespacePath: string
  /** Checks what is asked for and gives a new guest its addresses; undefined where it wants no network. Throws NetError. */
  reserve(id: string, spec: NetworkSpec): GuestNetworkRecord | undefined
  /** Sentences about what this host's own networks keep guests from. */
  warnings(): string[]
  /** A guest that is on disk: its addresses are taken, its name is known. */
  know(record: GuestRecord): void
  /** A guest that is removed: its addresses are free. */
  forget(id: string): void
  /**
   * Opens the guest's ports and its packet socket, and tells the engine; `record.network.open` says what came of it. Throws
   * NetError and leaves nothing behind where a port is taken or the device is not there. The guest must not run yet.
   */
  attach(record: GuestRecord, wire: Wire): Promise<void>
  /** Closes the guest's ports and flows. Never throws; does nothing where it is not attached. */
  detach(record: GuestRecord): Promise<void>
  /** What `guests.inspect` shows. */
  details(record: GuestRecord): GuestNetworkDetails
  /** Opens more ports of a guest that runs, all or none; what was opened. */
  publish(record: GuestRecord, ports: readonly PublishedPort[]): Promise<PublishedPort[]>
  unpublish(record: GuestRecord, ports: readonly PublishedPort[]): Promise<void>
  list(): NetworkList
  stats(record?: GuestRecord): Promise<NetworkStats>
  flows(record?: GuestRecord): Promise<NetworkFlow[]>
  capture(
    record: GuestRecord,
    options: Omit<ParsedParamsOf<'network.capture'>, 'guest'>,
  ): Promise<StreamSession>
  connect(record: GuestRecord, port: number): Promise<StreamSession>
}
