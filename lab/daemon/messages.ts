// What a lab's daemon is told at its start, and what is said on its socket: one line of JSON as the request, then
// answers, one a line. For `exec`, `readFile` and `writeFile` the frames of agent/protocol.ts follow instead.

import type { CoreRequest, CoreStatus, OperationRequest } from '../agent/protocol.ts'
import type { MachineOptions } from '../qemu/command-line.ts'
import type { Snapshot } from '../snapshot.ts'
import type { LabFiles } from './lab-files.ts'
import type { PublishedHere } from './published-ports.ts'

export interface DaemonConfig {
  readonly name: string
  readonly files: LabFiles
  readonly machine: MachineOptions
  readonly snapshot: Snapshot
  /** Whether the machine writes its memory to the snapshot's file: for the making of another snapshot. */
  readonly isRamShared: boolean
  /** The image that the lab's core disk was copied from; it is named by its content. */
  readonly coreImage: string
  readonly runsCore: boolean
  /** Belongs to the process that started it: ends with it and leaves nothing. */
  readonly isDisposable: boolean
}

export type LabState = 'starting' | 'ready' | 'failed' | 'stopping'

export interface LabStatus {
  readonly name: string
  readonly state: LabState
  /** What it is doing, or why it failed. */
  readonly detail: string
  readonly daemonProcessId: number
  readonly qemuProcessId: number | null
  readonly memoryMiB: number
  readonly dom0MemoryMiB: number
  readonly accelerator: 'kvm' | 'tcg'
  readonly startedAt: string
  readonly core: CoreStatus | null
  readonly coreImage: string
  readonly coreSocket: string
  readonly forwards: readonly Forward[]
  /** Ports that guests publish, as they can be reached on this machine. */
  readonly published: readonly PublishedHere[]
}

export interface Forward {
  readonly protocol: 'tcp' | 'udp'
  readonly hostAddress: string
  readonly hostPort: number
  readonly dom0Port: number
}

export interface ForwardRequest {
  readonly verb: 'forward'
  readonly protocol: 'tcp' | 'udp'
  readonly dom0Port: number
  /** A free one is taken if it is left out. */
  readonly hostPort?: number
}

export type LabRequest =
  | { readonly verb: 'status' }
  /** Answers with `progress` lines and then one `ready` or `error`. */
  | { readonly verb: 'watch' }
  | { readonly verb: 'down' }
  /** Puts another core on the core disk; one that runs is started anew from it, and waited for. */
  | { readonly verb: 'deliverCore'; readonly image: string }
  /** Waits until the core host answers, starting it if it does not run. */
  | { readonly verb: 'awaitCore' }
  | ForwardRequest
  | { readonly verb: 'unforward'; readonly protocol: 'tcp' | 'udp'; readonly hostPort: number }
  | CoreRequest
  | OperationRequest

export type LabAnswer =
  | { readonly result: unknown }
  | {
      readonly error: { readonly code: string; readonly message: string; readonly hint?: string | undefined }
    }
  | { readonly progress: string }
