// struct xen_domctl_getdomaininfo decoded: the hypervisor's word on a domain.
// Source: xen/include/public/domctl.h (the fields below lie at the same offsets from 4.14 to 4.22).
import { bytes, size, structLayout, u16, u32, u64 } from '../sys/struct-layout.ts'
import { type DomainId, domainId, uuidFromBytes } from './domain-id.ts'

const layout = structLayout('struct xen_domctl_getdomaininfo', 104, {
  domain: u16(0),
  flags: u32(4),
  totalPages: size(8),
  maxPages: u64(16),
  sharedInfoFrame: u64(48),
  cpuTime: u64(56),
  onlineVcpus: u32(64),
  maxVcpuId: u32(68),
  handle: bytes(76, 16),
})

const FLAG = { dying: 0x1, hvm: 0x2, shutdown: 0x4, paused: 0x8, blocked: 0x10, running: 0x20 } as const
const SHUTDOWN_REASON_SHIFT = 16

/** Why a domain stopped (SHUTDOWN_* of xen/include/public/sched.h). */
export type ShutdownReason =
  | 'poweroff'
  | 'reboot'
  | 'suspend'
  | 'crash'
  | 'watchdog'
  | 'soft-reset'
  | 'unknown'

const shutdownReasons: readonly ShutdownReason[] = [
  'poweroff',
  'reboot',
  'suspend',
  'crash',
  'watchdog',
  'soft-reset',
]

export interface DomainInfo {
  readonly domid: DomainId
  readonly uuid: string
  readonly kind: 'pv' | 'hvm'
  /** Destroyed, and kept only by pages or ports that somebody still holds. */
  readonly isDying: boolean
  readonly isPaused: boolean
  readonly isRunning: boolean
  readonly isBlocked: boolean
  /** Set once the domain has stopped itself or crashed. */
  readonly shutdownReason: ShutdownReason | undefined
  readonly totalPages: number
  readonly maxPages: bigint
  /** CPU time of all its vCPUs since it was created. */
  readonly cpuTimeNs: bigint
  readonly onlineVcpus: number
  /** The highest vCPU id plus one; 0 while it has none. */
  readonly maxVcpus: number
  readonly sharedInfoFrame: bigint
}

export function decodeDomainInfo(view: DataView<ArrayBuffer>, offset = 0): DomainInfo {
  const info = layout.at(view, offset)
  const { flags } = info
  return {
    domid: domainId(info.domain),
    uuid: uuidFromBytes(info.handle),
    kind: flags & FLAG.hvm ? 'hvm' : 'pv',
    isDying: (flags & FLAG.dying) !== 0,
    isPaused: (flags & FLAG.paused) !== 0,
    isRunning: (flags & FLAG.running) !== 0,
    isBlocked: (flags & FLAG.blocked) !== 0,
    shutdownReason:
      flags & FLAG.shutdown
        ? (shutdownReasons[(flags >>> SHUTDOWN_REASON_SHIFT) & 0xff] ?? 'unknown')
        : undefined,
    totalPages: info.totalPages,
    maxPages: info.maxPages,
    cpuTimeNs: info.cpuTime,
    onlineVcpus: info.onlineVcpus,
    maxVcpus: (info.maxVcpuId + 1) >>> 0,
    sharedInfoFrame: info.sharedInfoFrame,
  }
}
