// What is kept of a guest on disk. docs/contracts/state.md.

import type {
  ExitRecord,
  GuestMode,
  GuestState,
  GuestSummary,
  LaunchStep,
  NetworkSpec,
  PublishedPort,
} from '../api/methods.ts'
import type { GuestEnd } from './exit-records.ts'

export const guestFormatVersion = 2

/** The program as it will run: the image's configuration and what was asked for, merged. */
export interface ProcessRecord {
  readonly argv: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  readonly user: string
  readonly groups: readonly string[]
  readonly terminal: boolean
  readonly stdin: boolean
  readonly rows: number
  readonly columns: number
}

export interface GuestRecordSpec {
  readonly image: string
  readonly mode: GuestMode
  readonly memoryMiB: number
  readonly vcpus: number
  readonly process: ProcessRecord
  readonly stopSignal: string
  readonly hostname: string
  readonly kernelArguments: readonly string[]
  readonly network: NetworkSpec
  readonly readOnlyRoot: boolean
  readonly autoRemove: boolean
  readonly labels: Readonly<Record<string, string>>
}

/** What a guest has on the network for as long as it exists, running or not. */
export interface GuestNetworkRecord {
  readonly mac: string
  readonly ipv4: string
  readonly ipv6: string
  /** The ports that open whenever it runs: those of `spec`, and what was published and taken back since. */
  ports: readonly PublishedPort[]
  /** The same as they are open now: no host port is 0. Empty while the guest does not run. */
  open: readonly PublishedPort[]
}

export interface GuestRecord {
  readonly formatVersion: typeof guestFormatVersion
  /** 64 hex digits; the domain's UUID is the first 32. */
  readonly id: string
  readonly name: string
  readonly spec: GuestRecordSpec
  readonly image: { readonly reference: string; readonly digest: string }
  readonly createdAt: string
  /** Absent where `spec.network.kind` is `none`. */
  network?: GuestNetworkRecord
  state: GuestState
  startedAt?: string
  domid?: number
  kernel?: string
  launch?: readonly LaunchStep[]
  exit?: ExitRecord
  /** The end that is known while the domain is being taken away: it survives the core host. */
  ending?: GuestEnd
}

/** The UUID of a guest's domain as Xen's tools write it. */
export function domainUuid(id: string): string {
  return `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20, 32)}`
}

export function summaryOf(record: GuestRecord): GuestSummary {
  return {
    id: record.id,
    name: record.name,
    image: record.image.reference,
    imageDigest: record.image.digest,
    command: [...record.spec.process.argv],
    state: record.state,
    mode: record.spec.mode,
    memoryMiB: record.spec.memoryMiB,
    vcpus: record.spec.vcpus,
    createdAt: record.createdAt,
    ...(record.startedAt === undefined ? {} : { startedAt: record.startedAt }),
    ...(record.domid === undefined ? {} : { domid: record.domid }),
    terminal: record.spec.process.terminal,
    autoRemove: record.spec.autoRemove,
    ports: [...(record.network?.open ?? [])],
    ...(record.exit === undefined ? {} : { exit: record.exit }),
  }
}
